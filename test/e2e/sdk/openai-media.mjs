// Pictures, sound, moderation by the official OpenAI SDK: node openai-media.mjs CASE.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({
  apiKey: process.env.GATEWAY_KEY, baseURL: process.env.GATEWAY + "/v1", maxRetries: 0,
});
const sound = () => toFile(Buffer.alloc(5000, 7), "speech.mp3");
const picture = () => toFile(Buffer.from("89504e470d0a1a0a", "hex"), "dot.png", { type: "image/png" });

const cases = {
  async images_generate() {
    const { data, response } = await client.images
      .generate({ model: "dall-e", prompt: "a dot", n: 2, response_format: "b64_json" }).withResponse();
    assert.equal(data.data.length, 2);
    assert.ok(Buffer.from(data.data[0].b64_json, "base64").length > 20);
    assert.equal(response.headers.get("x-turnpike-cost"), "0.048001");
  },
  async images_edit() {
    const made = await client.images.edit({
      model: "gpt-image", image: [await picture(), await picture()], prompt: "a hat", n: 1,
    });
    assert.equal(made.data.length, 1);
    assert.equal(made.usage.output_tokens, 272);
  },
  async speech() {
    const answer = await client.audio.speech.create({ model: "tts", voice: "alloy", input: "hello" });
    assert.equal(answer.headers.get("content-type"), "audio/mpeg");
    assert.equal((await answer.arrayBuffer()).byteLength, 16000);
  },
  async transcription() {
    const heard = await client.audio.transcriptions.create({ model: "whisper", file: await sound() });
    assert.ok(heard.text.length > 0);
    assert.equal(heard.usage.seconds, 3);
    const all = await client.audio.transcriptions.create({
      model: "whisper", file: await sound(), response_format: "verbose_json",
      timestamp_granularities: ["word"],
    });
    assert.equal(all.duration, 3);
  },
  async transcription_text() {
    const text = await client.audio.transcriptions.create({
      model: "whisper", file: await sound(), response_format: "text",
    });
    assert.equal(typeof text, "string");
    assert.ok(text.endsWith("\n"));
  },
  async transcription_stream() {
    let text = "", done = "";
    const stream = await client.audio.transcriptions.create({
      model: "gpt-transcribe", file: await sound(), stream: true,
    });
    for await (const event of stream) {
      if (event.type === "transcript.text.delta") text += event.delta;
      if (event.type === "transcript.text.done") done = event.text;
    }
    assert.ok(text.length > 0);
    assert.equal(text, done);
  },
  async translation() {
    const heard = await client.audio.translations.create({ model: "whisper", file: await sound() });
    assert.ok(heard.text.length > 0);
  },
  async moderation() {
    const judged = await client.moderations.create({ input: ["one", "two"] });
    assert.equal(judged.results.length, 2);
    assert.equal(judged.model, "omni-moderation-latest");
  },
  async refused() {
    const error = await client.images.generate({ model: "chat-free", prompt: "a dot" })
      .then(() => null, (e) => e);
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.match(error.message, /no price/);
  },
};

await cases[process.argv[2]]();
