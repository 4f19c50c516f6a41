// The official Node SDK, unchanged, against a running Portico. `node --test` runs it.
// PORTICO_URL ends in /v1; PORTICO_KEY, PORTICO_MODEL and its context length, PORTICO_CONTEXT, go with it.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { PORTICO_URL: baseURL, PORTICO_KEY: apiKey, PORTICO_MODEL: model, PORTICO_CONTEXT: context } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const greedy = { model, temperature: 0, max_tokens: 400 };
const user = (content) => [{ role: "user", content }];
const capital = "What is the capital of France?";
const paris = "The capital of France is Paris.";
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

test("models", async () => {
  const found = [];
  for await (const one of client.models.list()) found.push(one.id);
  assert.deepEqual(found, [model]);
  assert.equal((await client.models.retrieve(model)).object, "model");
});

test("chat", async () => {
  const { data, response } = await client.chat.completions
    .create({ ...greedy, messages: user(capital) })
    .withResponse();
  assert.equal(data.choices[0].message.content, paris);
  assert.ok(data.choices[0].message.reasoning);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(data._request_id, response.headers.get("x-request-id"));
  assert.ok(Number(response.headers.get("openai-processing-ms")) >= 0);
});

test("chat streamed", async () => {
  const stream = await client.chat.completions.create({
    ...greedy,
    messages: user(capital),
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let reasoning = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, paris);
  assert.ok(reasoning.startsWith("The user"));
  assert.ok(usage.completion_tokens > 0);
});

test("stream helper", async () => {
  const stream = client.chat.completions.stream({ ...greedy, messages: user("法国的首都是哪里？") });
  let text = "";
  stream.on("content", (delta) => (text += delta));
  const final = await stream.finalChatCompletion();
  assert.equal(text, "法国的首都是巴黎。");
  assert.equal(final.choices[0].message.content, text);
});

test("a stream that is left early", async () => {
  const stream = await client.chat.completions.create({
    ...greedy,
    max_tokens: 1000,
    messages: user("Tell me a long story."),
    stream: true,
  });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 10) break;
  assert.equal(chunks, 10);
});

test("tools, the whole loop by the SDK's runner", async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    ...greedy,
    messages: user("What is the weather in Paris?"),
    tools: [
      {
        ...weather,
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return { temperature: 18, condition: "sunny" };
          },
        },
      },
    ],
  });
  const answer = await runner.finalContent();
  assert.deepEqual(asked, ["Paris"]);
  assert.match(answer, /in Paris\.$/);
});

test("tools streamed", async () => {
  const stream = client.chat.completions.stream({
    ...greedy,
    messages: user("What is the weather in Paris?"),
    tools: [zodFunction({ name: "get_weather", description: "Get the weather in a city", parameters: z.object({ city: z.string() }) })],
  });
  const { choices } = await stream.finalChatCompletion();
  assert.equal(choices[0].finish_reason, "tool_calls");
  assert.deepEqual(choices[0].message.tool_calls[0].function.parsed_arguments, { city: "Paris" });
});

test("structured output", async () => {
  const Person = z.object({ name: z.string(), age: z.number().int() });
  const answer = await client.chat.completions.parse({
    ...greedy,
    messages: user("Describe a person."),
    response_format: zodResponseFormat(Person, "person"),
  });
  assert.doesNotThrow(() => Person.parse(answer.choices[0].message.parsed));
});

test("completions", async () => {
  const answer = await client.completions.create({ ...greedy, max_tokens: 5, prompt: "Once upon a time", echo: true });
  assert.ok(answer.choices[0].text.startsWith("Once upon a time"));
});

test("error classes", async () => {
  const create = (options, one = client) =>
    one.chat.completions.create({ ...greedy, messages: user("Hello"), ...options });
  const wrongKey = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
  const cases = [
    [() => create({}, wrongKey), OpenAI.AuthenticationError, 401, "invalid_api_key", null],
    [() => create({ model: "gpt-none" }), OpenAI.NotFoundError, 404, "model_not_found", "model"],
    [() => create({ temperature: 3 }), OpenAI.BadRequestError, 400, "invalid_value", "temperature"],
    [() => create({ frobnicate: 1 }), OpenAI.BadRequestError, 400, "unknown_parameter", "frobnicate"],
    [() => create({ messages: user("word ".repeat(Number(context))) }), OpenAI.BadRequestError, 400, "context_length_exceeded", "messages"],
    [() => client.embeddings.create({ model, input: "Hello" }), OpenAI.BadRequestError, 400, "unsupported_value", "model"],
    [() => client.images.generate({ model, prompt: "Hello" }), OpenAI.NotFoundError, 404, "unknown_url", null],
  ];
  for (const [asked, kind, status, code, param] of cases) {
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof kind, `${error.constructor.name} for ${code}`);
      assert.deepEqual([error.status, error.code, error.param ?? null], [status, code, param]);
      assert.ok(error.requestID);
      return true;
    });
  }
});

test("responses", async () => {
  const asked = { model, temperature: 0, max_output_tokens: 400 };
  const first = await client.responses.create({ ...asked, input: capital });
  assert.equal(first.status, "completed");
  assert.equal(first.output_text, paris);
  const stream = await client.responses.create({
    ...asked,
    input: capital,
    previous_response_id: first.id,
    stream: true,
  });
  let text = "";
  let last = null;
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(last.type, "response.completed");
  assert.equal(last.response.output_text ?? text, text);
  const kept = await client.responses.retrieve(last.response.id);
  assert.equal(kept.previous_response_id, first.id);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("conversations, files and batches", async () => {
  const conversation = await client.conversations.create({ metadata: { topic: "capitals" } });
  assert.equal((await client.conversations.retrieve(conversation.id)).metadata.topic, "capitals");
  assert.ok((await client.conversations.delete(conversation.id)).deleted);
  const line = { custom_id: "1", method: "POST", url: "/v1/chat/completions", body: { ...greedy, messages: user(capital) } };
  const file = await client.files.create({
    file: await toFile(Buffer.from(`${JSON.stringify(line)}\n`), "asked.jsonl"),
    purpose: "batch",
  });
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  for (let tries = 0; batch.status !== "completed" && tries < 200; tries += 1) {
    await new Promise((done) => setTimeout(done, 200));
    batch = await client.batches.retrieve(batch.id);
  }
  const output = await (await client.files.content(batch.output_file_id)).text();
  assert.equal(JSON.parse(output).response.body.choices[0].message.content, paris);
});
