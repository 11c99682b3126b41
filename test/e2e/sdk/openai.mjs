// The official OpenAI SDK against the gateway: node openai.mjs CASE. Throws when something is wrong.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const baseURL = process.env.GATEWAY + "/v1";
const make = (apiKey = process.env.GATEWAY_KEY, more = {}) =>
  new OpenAI({ apiKey, baseURL, maxRetries: 0, ...more });
const client = make();
const messages = [{ role: "user", content: "hi" }];
const chat = (more = {}, options) =>
  client.chat.completions.create({ model: "sim-chat", messages, ...more }, options);
const tools = [{
  type: "function",
  function: { name: "weather", description: "d", parameters: { type: "object", properties: {} } },
}];

async function fails(promise, kind, status, code) {
  const error = await promise.then(() => null, (e) => e);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  if (code !== undefined) assert.equal(error.code, code);
  assert.ok(error.message);
  return error;
}

const cases = {
  async plain() {
    const { data, response, request_id } = await chat({ sim: { words: 5 } }).withResponse();
    assert.equal(data.choices[0].message.content.split(" ").length, 5);
    assert.equal(data.usage.completion_tokens, 5);
    assert.match(request_id, /^call_/);
    assert.ok(response.headers.get("x-turnpike-cost"));
  },
  async stream() {
    let text = "", chunks = 0, usage = 0;
    for await (const chunk of await chat({ stream: true, sim: { words: 20 } })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      chunks++;
      if (chunk.usage) usage++;
    }
    assert.equal(text.split(" ").length, 20);
    assert.equal(usage, 0);
    const whole = await chat({ sim: { words: 20 } });
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(chunks >= 20);
  },
  async stream_usage() {
    const all = [];
    for await (const c of await chat({ stream: true, stream_options: { include_usage: true } })) all.push(c);
    assert.equal(all.at(-1).usage.completion_tokens, 16);
    assert.deepEqual(all.at(-1).choices, []);
  },
  async stream_helper() {
    const runner = client.chat.completions.stream({ model: "sim-chat", messages, sim: { words: 7 } });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content.split(" ").length, 7);
    assert.equal(final.choices[0].finish_reason, "stop");
  },
  async tools() {
    const whole = await chat({ tools, tool_choice: "required" });
    const call = whole.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Zürich", days: 3 });
    assert.equal(whole.choices[0].finish_reason, "tool_calls");
    const stream = client.chat.completions.stream({ model: "sim-chat", messages, tools, tool_choice: "required" });
    const streamed = (await stream.finalChatCompletion()).choices[0].message.tool_calls[0];
    assert.deepEqual(JSON.parse(streamed.function.arguments), { city: "Zürich", days: 3 });
    const next = await chat({
      messages: [...messages, { role: "assistant", tool_calls: whole.choices[0].message.tool_calls },
        { role: "tool", tool_call_id: call.id, content: "sunny" }],
    });
    assert.ok(next.choices[0].message.content);
  },
  async errors() {
    await fails(make("sk-wrong").chat.completions.create({ model: "sim-chat", messages }),
      OpenAI.AuthenticationError, 401, "invalid_api_key");
    await fails(make(process.env.GATEWAY_KEY_POOR).chat.completions.create({ model: "sim-chat", messages }),
      OpenAI.APIError, 402, "insufficient_quota");
    await fails(chat({ model: "unheard-of" }), OpenAI.NotFoundError, 404, "model_not_found");
    await fails(make(process.env.GATEWAY_KEY_NARROW).chat.completions.create({ model: "sim-chat", messages }),
      OpenAI.PermissionDeniedError, 403);
    await fails(chat({ n: -1 }), OpenAI.BadRequestError, 400);
    await fails(chat({ sim: { status: 400 } }), OpenAI.BadRequestError, 400);
    await fails(chat({ sim: { status: 422 } }), OpenAI.UnprocessableEntityError, 422);
    await fails(chat({ sim: { status: 500 } }), OpenAI.InternalServerError, 502);
    await fails(chat({ sim: { status: 503 } }), OpenAI.InternalServerError, 503);
    const limited = await fails(chat({ sim: { status: 429, "retry-after": 3 } }), OpenAI.RateLimitError, 429);
    assert.equal(limited.headers.get("retry-after"), "3");
    await fails(chat({ stream: true, sim: { status: 429 } }), OpenAI.RateLimitError, 429);
  },
  async limited_key() {
    const limited = make(process.env.GATEWAY_KEY_LIMITED);
    const ask = () => limited.chat.completions.create({ model: "sim-chat", messages });
    for (let n = 0; n < 10; n++)
      await ask().catch((e) => { if (!(e instanceof OpenAI.RateLimitError)) throw e; });
    const error = await fails(ask(), OpenAI.RateLimitError, 429, "rate_limit_exceeded");
    assert.ok(Number(error.headers.get("retry-after")) >= 1);
  },
  async retries() {
    // The SDK asks again after a 503 of the gateway; the second time the upstream is well.
    const answer = await make(undefined, { maxRetries: 2 }).chat.completions.create(
      { model: "sim-chat", messages, sim: { status: 503, times: 1, id: "sdk-retry-" + process.pid } });
    assert.ok(answer.choices[0].message.content);
  },
  async stream_cut() {
    for (const sim of [{ cut: 6 }, { "cut-clean": 6 }, { "error-mid": 6 }, { cut: 6, "cut-how": "rst" }]) {
      const error = await (async () => {
        for await (const _ of await chat({ stream: true, sim: { words: 30, gap: 1, ...sim } }));
      })().then(() => null, (e) => e);
      assert.ok(error instanceof OpenAI.APIError, `a cut stream must not look whole: ${JSON.stringify(sim)}`);
    }
  },
  async abort() {
    const stream = await chat({ stream: true, sim: { words: 5000, gap: 10 } });
    let n = 0;
    for await (const _ of stream) if (++n === 5) stream.controller.abort();
    assert.ok(n < 50);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 500);
    await assert.rejects(chat({ sim: { delay: 20000 } }, { signal: controller.signal }), OpenAI.APIUserAbortError);
  },
  async embeddings() {
    const base64 = await client.embeddings.create({ model: "sim-embed", input: ["a", "b"] });
    assert.equal(base64.data.length, 2);
    assert.equal(typeof base64.data[0].embedding[0], "number");
    const floats = await client.embeddings.create({ model: "sim-embed", input: "a", encoding_format: "float" });
    assert.deepEqual(floats.data[0].embedding.map((x) => Math.fround(x)),
      base64.data[0].embedding.map((x) => Math.fround(x)));
    assert.ok(floats.usage.prompt_tokens > 0);
  },
  async completions() {
    const answer = await client.completions.create({ model: "sim-chat", prompt: "Once", sim: { words: 3 } });
    assert.equal(answer.choices[0].text.split(" ").length, 3);
    let text = "";
    for await (const c of await client.completions.create({ model: "sim-chat", prompt: "Once", stream: true, sim: { words: 3 } }))
      text += c.choices[0]?.text ?? "";
    assert.equal(text, answer.choices[0].text);
  },
  async responses() {
    const answer = await client.responses.create({ model: "sim-chat", input: "hi", sim: { words: 6 } });
    assert.equal(answer.output_text.split(" ").length, 6);
    assert.equal(answer.usage.output_tokens, 6);
    const seen = [];
    for await (const event of await client.responses.create({ model: "sim-chat", input: "hi", stream: true, sim: { words: 6 } }))
      seen.push(event);
    assert.equal(seen[0].type, "response.created");
    assert.equal(seen.at(-1).type, "response.completed");
    seen.forEach((event, i) => assert.equal(event.sequence_number, i));
    const final = await client.responses.stream({ model: "sim-chat", input: "hi", sim: { words: 6 } }).finalResponse();
    assert.equal(final.output_text, answer.output_text);
    const tool = await client.responses.create({
      model: "sim-chat", input: "hi", tool_choice: "required",
      tools: [{ type: "function", name: "weather", parameters: { type: "object", properties: {} }, strict: false }],
    });
    assert.deepEqual(JSON.parse(tool.output.find((o) => o.type === "function_call").arguments), { city: "Zürich", days: 3 });
  },
  async responses_cut() {
    const seen = [];
    const error = await (async () => {
      for await (const e of await client.responses.create({ model: "sim-chat", input: "hi", stream: true, sim: { words: 30, cut: 9, gap: 1 } }))
        seen.push(e);
    })().then(() => null, (e) => e);
    assert.ok(error instanceof OpenAI.APIError || seen.at(-1).type === "error", "it says that it was cut");
    assert.ok(!seen.some((e) => e.type === "response.completed"));
  },
  async models() {
    const all = [];
    for await (const model of client.models.list()) all.push(model.id);
    assert.ok(all.includes("sim-chat") && all.includes("sim-embed"));
    assert.equal((await client.models.retrieve("sim-chat")).id, "sim-chat");
    await fails(client.models.retrieve("unheard-of"), OpenAI.NotFoundError, 404);
  },
  async long_and_unicode() {
    const content = "Zürich 日本 😀 \u0000\u2028 ".repeat(20000);
    const answer = await chat({ messages: [{ role: "user", content }] });
    assert.ok(answer.usage.prompt_tokens > 50000);
  },
  async many_at_once() {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => chat({ sim: { words: n + 1, delay: 20 } })));
    answers.forEach((a, n) => assert.equal(a.choices[0].message.content.split(" ").length, n + 1));
  },
};

await cases[process.argv[2]]();
