// Files and batches by the official OpenAI SDK: node openai-batches.mjs CASE.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const connect = (apiKey) =>
  new OpenAI({ apiKey, baseURL: process.env.GATEWAY + "/v1", maxRetries: 0 });
const client = connect(process.env.GATEWAY_KEY);
const stranger = connect(process.env.GATEWAY_KEY_LIMITED);
const line = (i) => JSON.stringify({
  custom_id: `r${i}`, method: "POST", url: "/v1/chat/completions",
  body: { model: "sim-chat", messages: [{ role: "user", content: `hi ${i}` }] },
});
const put = async (text) =>
  client.files.create({ purpose: "batch", file: await toFile(Buffer.from(text), "in.jsonl") });
const upload = (count) => put(Array.from({ length: count }, (_, i) => line(i)).join("\n"));
const failed = (promise) => promise.then(() => null, (e) => e);

const cases = {
  async batch() {
    const file = await upload(3);
    const { data: batch, response } = await client.batches.create({
      input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h",
      metadata: { night: "1" },
    }).withResponse();
    assert.equal(response.headers.get("x-turnpike-cost"), "0.002223");
    const done = await client.batches.retrieve(batch.id);
    assert.equal(done.status, "completed");
    assert.deepEqual(done.request_counts, { total: 3, completed: 3, failed: 0 });
    const text = await (await client.files.content(done.output_file_id)).text();
    assert.deepEqual(text.trim().split("\n").map((x) => JSON.parse(x).custom_id), ["r0", "r1", "r2"]);
    assert.ok(await failed(stranger.batches.retrieve(batch.id)) instanceof OpenAI.NotFoundError);
    assert.ok(await failed(stranger.files.content(done.output_file_id)) instanceof OpenAI.NotFoundError);
    assert.equal((await client.batches.cancel(batch.id)).id, batch.id);
  },
  async lists() {
    const made = [];
    for (let i = 0; i < 5; i++) made.push((await upload(1)).id);
    const found = [];
    for await (const file of client.files.list({ limit: 2, order: "asc" })) found.push(file.id);
    assert.deepEqual(found, made);
    for await (const file of stranger.files.list()) assert.fail(file.id);
    for (const id of made) assert.equal((await client.files.delete(id)).deleted, true);
    for await (const file of client.files.list()) assert.fail(file.id);
  },
  async refused() {
    const error = await failed(put(line(0) + "\n{}\n"));
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, "invalid_batch");
    assert.match(error.message, /line 2 of the file/);
  },
};

await cases[process.argv[2]]();
