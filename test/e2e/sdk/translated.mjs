// SDKs in front of upstreams that speak something else: node translated.mjs LIBRARY PROVIDER... Throws when
// something is wrong. The model's name is MODEL@PROVIDER: the channel of the same name.
import assert from "node:assert/strict";

const [library, ...providers] = process.argv.slice(2);
const { GATEWAY, GATEWAY_KEY: apiKey, SIM } = process.env;
const ARGS = { city: "Zürich", days: 3 };
const schema = {
  type: "object", properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"], additionalProperties: false,
};
const ask = "use tool";
const words = (text) => text.trim().split(/ +/).length;
const faults = (sim) => fetch(`${SIM}/sim/faults`, { method: "POST", body: JSON.stringify({ sim }) });

// Each library: its protocol, and plain(), stream(), tools(), schema(), each with what came of it, in one
// form: { text, input, output }, text, { calls, text }, object. status() is an error's HTTP status.
const libraries = {
  async openai(model) {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ apiKey, baseURL: `${GATEWAY}/v1`, maxRetries: 0 });
    const create = (more) => client.chat.completions.create(
      { model, messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "hi" }], ...more });
    const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
    return {
      async plain() {
        const a = await create();
        return { text: a.choices[0].message.content, input: a.usage.prompt_tokens, output: a.usage.completion_tokens };
      },
      async stream() {
        const runner = client.chat.completions.stream({ model, messages: [{ role: "user", content: "hi" }] });
        return (await runner.finalChatCompletion()).choices[0].message.content;
      },
      async tools() {
        const messages = [{ role: "user", content: ask }];
        const first = (await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion()).choices[0].message;
        messages.push(first, ...first.tool_calls.map((c) => ({ role: "tool", tool_call_id: c.id, content: "sunny" })));
        const last = await create({ messages, tools });
        return { calls: first.tool_calls.map((c) => JSON.parse(c.function.arguments)), text: last.choices[0].message.content };
      },
      async schema() {
        const a = await client.chat.completions.parse({
          model, messages: [{ role: "user", content: "hi" }],
          response_format: { type: "json_schema", json_schema: { name: "w", schema, strict: true } },
        });
        return JSON.parse(a.choices[0].message.content);
      },
      status: (e) => e.status,
    };
  },

  async "openai-responses"(model) {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ apiKey, baseURL: `${GATEWAY}/v1`, maxRetries: 0 });
    const create = (more) => client.responses.create({ model, instructions: "Be brief.", input: "hi", ...more });
    const tools = [{ type: "function", name: "weather", parameters: schema, strict: true }];
    return {
      async plain() {
        const a = await create();
        return { text: a.output_text, input: a.usage.input_tokens, output: a.usage.output_tokens };
      },
      stream: async () => {
        const runner = client.responses.stream({ model, input: "hi" });
        for await (const event of runner) if (event.type === "error") throw Object.assign(new Error(event.message), { event });
        return (await runner.finalResponse()).output_text;
      },
      async tools() {
        const input = [{ role: "user", content: ask }];
        const first = await client.responses.stream({ model, input, tools }).finalResponse();
        const calls = first.output.filter((i) => i.type === "function_call");
        input.push(...first.output, ...calls.map((c) => ({ type: "function_call_output", call_id: c.call_id, output: "sunny" })));
        const last = await create({ input: input.map(({ parsed_arguments, ...item }) => item), tools });
        return { calls: calls.map((c) => JSON.parse(c.arguments)), text: last.output_text };
      },
      async schema() {
        const a = await create({ text: { format: { type: "json_schema", name: "w", schema, strict: true } } });
        return JSON.parse(a.output_text);
      },
      status: (e) => e.status,
    };
  },

  async anthropic(model) {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const client = new Anthropic({ apiKey, authToken: null, baseURL: GATEWAY, maxRetries: 0 });
    const body = { model, max_tokens: 1000, system: "Be brief.", messages: [{ role: "user", content: "hi" }] };
    const tools = [{ name: "weather", input_schema: schema }];
    return {
      async plain() {
        const a = await client.messages.create(body);
        return { text: a.content[0].text, input: a.usage.input_tokens, output: a.usage.output_tokens };
      },
      stream: async () => (await client.messages.stream(body).finalMessage()).content[0].text,
      async tools() {
        const messages = [{ role: "user", content: ask }];
        const first = await client.messages.stream({ ...body, messages, tools }).finalMessage();
        const calls = first.content.filter((b) => b.type === "tool_use");
        messages.push({ role: "assistant", content: first.content }, {
          role: "user", content: calls.map((c) => ({ type: "tool_result", tool_use_id: c.id, content: "sunny" })),
        });
        const last = await client.messages.create({ ...body, messages, tools });
        return { calls: calls.map((c) => c.input), text: last.content[0].text };
      },
      async schema() {
        const a = await client.messages.create({ ...body, output_config: { format: { type: "json_schema", schema } } });
        return JSON.parse(a.content[0].text);
      },
      status: (e) => e.status,
    };
  },

  async genai(model) {
    const { GoogleGenAI } = await import("@google/genai");
    const { models } = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: GATEWAY } });
    const config = { systemInstruction: "Be brief." };
    const tools = [{ functionDeclarations: [{ name: "weather", parametersJsonSchema: schema }] }];
    return {
      async plain() {
        const a = await models.generateContent({ model, contents: "hi", config });
        return { text: a.text, input: a.usageMetadata.promptTokenCount, output: a.usageMetadata.candidatesTokenCount };
      },
      async stream() {
        let text = "", finish;
        for await (const chunk of await models.generateContentStream({ model, contents: "hi", config })) {
          text += chunk.text ?? "";
          finish = chunk.candidates?.[0]?.finishReason ?? finish;
        }
        assert.equal(finish, "STOP");
        return text;
      },
      async tools() {
        const contents = [{ role: "user", parts: [{ text: ask }] }];
        const first = await models.generateContent({ model, contents, config: { tools } });
        contents.push(first.candidates[0].content, {
          role: "user",
          parts: first.functionCalls.map((c) => ({ functionResponse: { id: c.id, name: c.name, response: { output: "sunny" } } })),
        });
        const last = await models.generateContent({ model, contents, config: { tools } });
        return { calls: first.functionCalls.map((c) => c.args), text: last.text };
      },
      async schema() {
        const a = await models.generateContent({ model, contents: "hi", config: { responseMimeType: "application/json", responseJsonSchema: schema } });
        return JSON.parse(a.text);
      },
      status: (e) => e.status,
    };
  },

  "ai-openai": (model) => vercel(async () => (await import("@ai-sdk/openai")).createOpenAI({ apiKey, baseURL: `${GATEWAY}/v1` })(model)),
  "ai-openai-chat": (model) => vercel(async () => (await import("@ai-sdk/openai")).createOpenAI({ apiKey, baseURL: `${GATEWAY}/v1` }).chat(model)),
  "ai-anthropic": (model) => vercel(async () => (await import("@ai-sdk/anthropic")).createAnthropic({ apiKey, baseURL: `${GATEWAY}/v1` })(model)),
  "ai-google": (model) => vercel(async () => (await import("@ai-sdk/google")).createGoogleGenerativeAI({ apiKey, baseURL: `${GATEWAY}/v1beta` })(model)),
  langchain: (model) => langchain(model, false),
  "langchain-responses": (model) => langchain(model, true),
};

async function vercel(make) {
  const { generateText, streamText, Output, jsonSchema, stepCountIs, tool } = await import("ai");
  const base = { model: await make(), maxRetries: 0, system: "Be brief." };
  return {
    async plain() {
      const a = await generateText({ ...base, prompt: "hi" });
      return { text: a.text, input: a.usage.inputTokens, output: a.usage.outputTokens };
    },
    async stream() {
      let text = "";
      const a = streamText({ ...base, prompt: "hi", onError: () => {} });
      for await (const part of a.fullStream) {
        if (part.type === "error") throw part.error;
        if (part.type === "text-delta") text += part.text;
      }
      return text;
    },
    async tools() {
      const calls = [];
      const weather = tool({ inputSchema: jsonSchema(schema), execute: async (input) => (calls.push(input), "sunny") });
      const a = streamText({ ...base, prompt: ask, tools: { weather }, stopWhen: stepCountIs(3) });
      const text = await a.text;
      assert.equal((await a.steps).length, 2);
      return { calls, text };
    },
    async schema() {
      return (await generateText({ ...base, prompt: "hi", output: Output.object({ schema: jsonSchema(schema) }) })).output;
    },
    status: (e) => e.statusCode,
  };
}

async function langchain(model, useResponsesApi) {
  const { ChatOpenAI } = await import("@langchain/openai");
  const { HumanMessage, SystemMessage, ToolMessage } = await import("@langchain/core/messages");
  const chat = new ChatOpenAI({ model, apiKey, maxRetries: 0, useResponsesApi, configuration: { baseURL: `${GATEWAY}/v1` } });
  const hi = [new SystemMessage("Be brief."), new HumanMessage("hi")];
  return {
    async plain() {
      const a = await chat.invoke(hi);
      return { text: a.text, input: a.usage_metadata.input_tokens, output: a.usage_metadata.output_tokens };
    },
    async stream() {
      let text = "";
      for await (const chunk of await chat.stream(hi)) text += chunk.text;
      return text;
    },
    async tools() {
      const bound = chat.bindTools([{ type: "function", function: { name: "weather", description: "d", parameters: schema } }]);
      const messages = [new HumanMessage(ask)];
      const first = await bound.invoke(messages);
      messages.push(first, ...first.tool_calls.map((c) => new ToolMessage({ content: "sunny", tool_call_id: c.id })));
      return { calls: first.tool_calls.map((c) => c.args), text: (await bound.invoke(messages)).text };
    },
    schema: () => chat.withStructuredOutput(schema, { name: "w", method: "jsonSchema" }).invoke(hi),
    status: (e) => e.status,
  };
}

async function fails(promise, status, of) {
  const error = await promise.then(() => null, (e) => e);
  assert.ok(error, `a failure must be seen: ${status}`);
  if (status) assert.equal(of(error), status, `${error}`);
}

const native = library === "anthropic" || library === "ai-anthropic"; // knows 529

async function drive(it) {
  // One that only fails would be out: nobody else is there.
  const well = async () => {
    await faults({});
    for (let i = 0; i < 2; i++) await it.plain();
  };
  const plain = await it.plain();
  assert.equal(words(plain.text), 16);
  assert.equal(plain.output, 16);
  assert.ok(plain.input > 0);
  assert.equal(await it.stream(), plain.text);
  for (const tools of [1, 2]) {
    await faults({ tool: "weather", tools });
    const { calls, text } = await it.tools();
    assert.deepEqual(calls, [ARGS, { ...ARGS, days: 4 }].slice(0, tools));
    assert.equal(words(text), 16);
  }
  await faults({});
  assert.deepEqual(await it.schema(), ARGS);
  for (const [said, seen] of [[400, 400], [404, 404], [429, 429], [500, 502], [503, native ? 529 : 503]]) {
    await faults({ status: said });
    await fails(it.plain(), seen, it.status);
    await well();
  }
  await faults({ status: 503 });
  await fails(it.stream(), native ? 529 : 503, it.status);
  // LangChain passes over events of errors in Responses, whoever sends them.
  for (const broken of library === "langchain-responses" ? [] : [{ "error-mid": 12 }, { cut: 12 }, { "cut-clean": 12 }]) {
    await well();
    await faults({ words: 40, gap: 1, ...broken });
    await fails(it.stream());
  }
  // Whose key is refused is out for a minute.
  await faults({ status: 401 });
  await fails(it.plain(), 502, it.status);
  await faults({});
}

for (const provider of providers) {
  try {
    await drive(await libraries[library](`sim-talk@${provider}`));
  } catch (error) {
    console.error(`in front of ${provider}:`);
    throw error;
  }
}
