"""The administration API, /v1/organization: projects, keys, limits, audit log, usage, in OpenAI's shapes."""
