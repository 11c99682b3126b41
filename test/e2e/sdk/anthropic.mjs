// The official Anthropic SDK against the gateway: node anthropic.mjs CASE. Throws when something is wrong.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const make = (apiKey = process.env.GATEWAY_KEY, more = {}) =>
  new Anthropic({ apiKey, authToken: null, baseURL: process.env.GATEWAY, maxRetries: 0, ...more });
const client = make();
const messages = [{ role: "user", content: "hi" }];
const ask = (more = {}, options) =>
  client.messages.create({ model: "sim-chat", max_tokens: 1000, messages, ...more }, options);
const tools = [{ name: "weather", description: "d", input_schema: { type: "object", properties: {} } }];

async function fails(promise, kind, status, type) {
  const error = await promise.then(() => null, (e) => e);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  if (type !== undefined) assert.equal(error.error.error.type, type);
  return error;
}

const cases = {
  async plain() {
    const { data, response } = await ask({ sim: { words: 5 } }).withResponse();
    assert.equal(data.content[0].text.split(" ").length, 5);
    assert.equal(data.usage.output_tokens, 5);
    assert.equal(data.stop_reason, "end_turn");
    assert.match(response.headers.get("x-request-id"), /^call_/);
    assert.ok(response.headers.get("x-turnpike-cost"));
  },
  async auth_token() {
    const bearer = new Anthropic({ apiKey: null, authToken: process.env.GATEWAY_KEY, baseURL: process.env.GATEWAY, maxRetries: 0 });
    assert.ok((await bearer.messages.create({ model: "sim-chat", max_tokens: 9, messages })).id);
  },
  async stream() {
    let text = "";
    const types = new Set();
    for await (const event of await ask({ stream: true, sim: { words: 20, pings: 1 } })) {
      types.add(event.type);
      if (event.type === "content_block_delta") text += event.delta.text;
    }
    assert.ok(types.has("message_start") && types.has("message_stop"));
    assert.equal(text, (await ask({ sim: { words: 20 } })).content[0].text);
  },
  async stream_helper() {
    const final = await client.messages.stream({ model: "sim-chat", max_tokens: 100, messages, sim: { words: 7, cached: 30, cache5m: 4 } }).finalMessage();
    assert.equal(final.content[0].text.split(" ").length, 7);
    assert.equal(final.usage.output_tokens, 7);
    assert.equal(final.usage.cache_read_input_tokens, 30);
  },
  async thinking() {
    const final = await client.messages.stream({ model: "sim-chat", max_tokens: 100, messages, sim: { words: 4, reasoning: 9 } }).finalMessage();
    assert.equal(final.content[0].type, "thinking");
    assert.ok(final.content[0].signature !== undefined);
    assert.equal(final.content.at(-1).text.split(" ").length, 4);
  },
  async tools() {
    const whole = await ask({ tools, tool_choice: { type: "any" } });
    const use = whole.content.find((b) => b.type === "tool_use");
    assert.deepEqual(use.input, { city: "Zürich", days: 3 });
    assert.equal(whole.stop_reason, "tool_use");
    const streamed = await client.messages.stream({ model: "sim-chat", max_tokens: 100, messages, tools, tool_choice: { type: "any" } }).finalMessage();
    assert.deepEqual(streamed.content.find((b) => b.type === "tool_use").input, { city: "Zürich", days: 3 });
    const next = await ask({
      tools,
      messages: [...messages, { role: "assistant", content: whole.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] }],
    });
    assert.ok(next.content.length);
  },
  async errors() {
    const of = (key) => make(key).messages.create({ model: "sim-chat", max_tokens: 9, messages });
    await fails(of("sk-wrong"), Anthropic.AuthenticationError, 401, "authentication_error");
    const poor = await fails(of(process.env.GATEWAY_KEY_POOR), Anthropic.APIError, 402, "billing_error");
    assert.match(poor.requestID ?? poor.error.request_id, /^call_/);
    await fails(of(process.env.GATEWAY_KEY_NARROW), Anthropic.PermissionDeniedError, 403, "permission_error");
    await fails(ask({ model: "unheard-of" }), Anthropic.NotFoundError, 404, "not_found_error");
    await fails(ask({ max_tokens: -1 }), Anthropic.BadRequestError, 400, "invalid_request_error");
    await fails(ask({ sim: { status: 400 } }), Anthropic.BadRequestError, 400, "invalid_request_error");
    // One that only fails would be out: nobody else is there.
    const well = async () => { for (let i = 0; i < 2; i++) await ask(); };
    await fails(ask({ sim: { status: 500 } }), Anthropic.InternalServerError, 502, "api_error");
    await well();
    await fails(ask({ sim: { status: 529 } }), Anthropic.InternalServerError, 529, "overloaded_error");
    await fails(ask({ sim: { status: 413 } }), Anthropic.APIError, 413, "request_too_large");
    await well();
    await fails(ask({ stream: true, sim: { status: 529 } }), Anthropic.InternalServerError, 529);
    await well();
    const limited = await fails(ask({ sim: { status: 429, "retry-after": 3 } }), Anthropic.RateLimitError, 429, "rate_limit_error");
    assert.equal(limited.headers.get("retry-after"), "3");
  },
  async retries() {
    const answer = await make(undefined, { maxRetries: 2 }).messages.create(
      { model: "sim-chat", max_tokens: 99, messages, sim: { status: 529, times: 1, id: "sdk-retry-a" + process.pid } });
    assert.ok(answer.content[0].text);
  },
  async stream_cut() {
    for (const sim of [{ cut: 8 }, { "cut-clean": 8 }, { "error-mid": 8 }, { cut: 8, "cut-how": "rst" }]) {
      const raw = await (async () => {
        for await (const _ of await ask({ stream: true, sim: { words: 30, gap: 1, ...sim } }));
      })().then(() => null, (e) => e);
      assert.ok(raw instanceof Anthropic.APIError, `a cut stream must not look whole: ${JSON.stringify(sim)}`);
      const helper = await client.messages.stream({ model: "sim-chat", max_tokens: 99, messages, sim: { words: 30, gap: 1, ...sim } })
        .finalMessage().then(() => null, (e) => e);
      assert.ok(helper instanceof Anthropic.AnthropicError);
    }
  },
  async abort() {
    const stream = client.messages.stream({ model: "sim-chat", max_tokens: 8000, messages, sim: { words: 5000, gap: 10 } });
    let n = 0;
    await assert.rejects((async () => { for await (const _ of stream) if (++n === 6) stream.abort(); })(), Anthropic.APIUserAbortError);
    assert.ok(n < 50);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 500);
    await assert.rejects(ask({ sim: { delay: 20000 } }, { signal: controller.signal }), Anthropic.APIUserAbortError);
  },
  async count_tokens() {
    const count = await client.messages.countTokens({ model: "sim-chat", messages });
    assert.ok(count.input_tokens > 0);
    assert.equal(count.input_tokens, (await ask()).usage.input_tokens);
  },
  async betas() {
    const answer = await client.beta.messages.create({ model: "sim-chat", max_tokens: 9, messages, betas: ["one-2025-01-01", "two-2025-01-01"] });
    assert.ok(answer.id);
  },
  async models() {
    const all = [];
    for await (const model of client.models.list({ limit: 3 })) all.push(model.id);
    assert.ok(all.includes("sim-chat") && all.length === new Set(all).size && all.length > 3);
    assert.equal((await client.models.retrieve("sim-chat")).type, "model");
    await fails(client.models.retrieve("unheard-of"), Anthropic.NotFoundError, 404);
  },
};

await cases[process.argv[2]]();
