// Reads a JSON list of PromQL expressions, one each; writes for each where it is no PromQL, or null.
import { readFileSync } from "node:fs";
import { parser } from "@prometheus-io/lezer-promql";

const found = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  let wrong = null;
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError && wrong === null) wrong = text.slice(0, node.from) + " <-- here";
    },
  });
  return wrong;
});
console.log(JSON.stringify(found));
