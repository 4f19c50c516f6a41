"""Files and batches in the configuration."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from server.config.section import Section


class Files(Section):
    folder: Path = Field(
        default=Path("var/files"),
        description="Folder of uploaded files and of the outputs of batches; a relative one is below $PORTICO_HOME. "
        "Gateways on several machines need one that they share, or `storage`.",
    )
    storage: str | None = Field(
        default=None,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$",
        description="Bucket for them instead, `s3://BUCKET/PREFIX`; `folder` then holds what is being made. "
        "Credentials, region and endpoint come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
        "AWS_REGION, AWS_ENDPOINT_URL.",
    )
    max_file_bytes: int = Field(default=209_715_200, ge=1024, description="Largest file; more is refused with 413.")
    max_project_bytes: int = Field(default=10_737_418_240, ge=1024, description="What the files of a project may take.")
    max_project_files: int = Field(default=10_000, ge=1, description="Files that a project may keep.")
    expires_days: int | None = Field(
        default=30,
        ge=1,
        description="How long files for batches and their outputs are kept that were given no time of their own; "
        "null: until they are deleted.",
    )

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.storage is not None and not find_spec("obstore"):
            raise ValueError("storage: needs the package of the extra: pip install 'portico[s3]'")
        return self


class Batches(Section):
    running: int = Field(default=4, ge=0, description="Batches that a worker runs at once; 0: none on this gateway.")
    max_in_flight: int = Field(default=64, ge=1, description="Lines that a worker has in flight at once.")
    share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Share of a model's engines (`max_in_flight`) up to which lines are added to what is running; "
        "the rest stays free for people.",
    )
    max_lines: int = Field(default=50_000, ge=1, description="Lines of one batch.")
    max_open: int = Field(default=100, ge=1, description="Batches of a project that have not ended.")
