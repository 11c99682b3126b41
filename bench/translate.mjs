// The same as bench-translate does, from Anthropic's Messages to OpenAI's chat, the way it is done in
// Node: JSON.parse, the object rebuilt, JSON.stringify. Prints the least time of the rounds in ns, or
// with "print" the body.
import { readFileSync } from 'node:fs';

const textOf = content =>
  typeof content === 'string' ? content : content.map(block => block.text ?? '').join('');

function messagesOf(message) {
  if (message.role === 'system') return [{ role: 'system', content: textOf(message.content) }];
  if (typeof message.content === 'string') return [{ role: message.role, content: message.content }];
  if (message.role === 'assistant') {
    const calls = message.content
      .filter(block => block.type === 'tool_use')
      .map(block => ({
        id: block.id,
        type: 'function',
        function: { name: block.name, arguments: JSON.stringify(block.input) },
      }));
    const text = message.content.filter(block => block.type === 'text').map(block => block.text);
    const made = { role: 'assistant', content: text.length > 0 ? text.join('') : null };
    if (calls.length > 0) made.tool_calls = calls;
    return [made];
  }
  const made = [];
  for (const block of message.content)
    if (block.type === 'tool_result')
      made.push({ role: 'tool', tool_call_id: block.tool_use_id, content: textOf(block.content) });
  const text = message.content.filter(block => block.type === 'text');
  if (text.length > 0)
    made.push({ role: 'user', content: text.length === 1 ? text[0].text : text.map(block => ({ type: 'text', text: block.text })) });
  return made;
}

function translate(body) {
  const from = JSON.parse(body);
  const to = { model: 'served', messages: [] };
  if (from.system) to.messages.push({ role: 'system', content: textOf(from.system) });
  for (const message of from.messages) to.messages.push(...messagesOf(message));
  to.tools = from.tools.map(tool => ({
    type: 'function',
    function: { name: tool.name, description: tool.description, parameters: tool.input_schema },
  }));
  to.max_completion_tokens = Math.min(from.max_tokens, 64000);
  to.stream = true;
  to.stream_options = { include_usage: true };
  return JSON.stringify(to);
}

const [file, what] = process.argv.slice(2);
const bytes = readFileSync(file);
if (what === 'print') {
  process.stdout.write(Buffer.from(translate(bytes.toString('utf8'))));
} else {
  let least = Infinity;
  for (let i = 0; i < Number(what ?? 300); i++) {
    const start = process.hrtime.bigint();
    const made = Buffer.from(translate(bytes.toString('utf8')));
    const took = Number(process.hrtime.bigint() - start);
    if (made.length > 0 && took < least) least = took;
  }
  console.log(least);
}
