// What a program does with graphql-ws' own client: query, mutation, subscriptions, complete. One JSON line for each.
// Arguments: the URL, and the access token where one is wanted; "header" or "subprotocol" says where it goes.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token, place] = process.argv.slice(2);

class WithToken extends WebSocket {
  constructor(address, protocol) {
    if (place === "header") super(address, protocol, { headers: { Authorization: `Bearer ${token}` } });
    else if (place === "subprotocol") super(address, [protocol, `wsauth.bearer.${token}`]);
    else super(address, protocol);
  }
}

const client = createClient({
  url,
  webSocketImpl: WithToken,
  lazy: false,
  retryAttempts: 0,
  onNonLazyError: (problem) => show("error", problem.code ?? String(problem)),
  on: { closed: (event) => show("closed", [event.code, event.reason]) },
});

function show(name, value) {
  console.log(JSON.stringify([name, value]));
}

async function ask(query) {
  for await (const answer of client.iterate({ query })) return answer.data;
}

async function listening(wanted) {
  for (let tries = 0; tries < 200; tries += 1) {
    const { listening } = await ask("{ listening }");
    if (listening === wanted) return listening;
    await new Promise((done) => setTimeout(done, 10));
  }
  return "never";
}

show("query", await ask("{ hello }"));
const counted = [];
for await (const { data } of client.iterate({ query: "subscription { countdown(from: 3) }" })) counted.push(data.countdown);
show("countdown", counted);
const heard = client.iterate({ query: "subscription { said }" });
const first = heard.next();
show("listening", await listening(1));
show("mutation", await ask('mutation { say(text: "hi there") }'));
show("said", (await first).value.data);
await heard.return();
show("completed", await listening(0));
show("head", await ask("{ target headers }"));
await client.dispose();
