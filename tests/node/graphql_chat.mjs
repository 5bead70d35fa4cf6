// A chat in GraphQL with the npm packages `graphql`, `graphql-ws` and `ws`. Nothing in it knows of wsauth.
import { EventEmitter, on } from "node:events";
import { GraphQLInt, GraphQLList, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const messages = new EventEmitter();
const text = { type: GraphQLString };
let listening = 0;

// Not a generator: one that waits for the next message would not hear that its subscription is complete.
function said() {
  const source = on(messages, "said");
  listening += 1;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const { done, value } = await source.next();
      return done ? { done } : { done, value: { said: value[0] } };
    },
    return() {
      listening -= 1;
      return source.return();
    },
  };
}

async function* countdown(_root, { from }) {
  for (let left = from; left >= 0; left -= 1) yield { countdown: left };
}

const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: "Query",
    fields: {
      hello: { type: GraphQLString, resolve: () => "world" },
      listening: { type: GraphQLInt, resolve: () => listening },
      target: { type: GraphQLString, resolve: (_root, _arguments, request) => request.url },
      headers: {
        type: new GraphQLList(GraphQLString),
        resolve: (_root, _arguments, request) => request.rawHeaders,
      },
    },
  }),
  mutation: new GraphQLObjectType({
    name: "Mutation",
    fields: {
      say: {
        type: GraphQLString,
        args: { text },
        resolve: (_root, { text }) => (messages.emit("said", text), text),
      },
    },
  }),
  subscription: new GraphQLObjectType({
    name: "Subscription",
    fields: {
      said: { type: GraphQLString, subscribe: said },
      countdown: {
        type: GraphQLInt,
        args: { from: { type: new GraphQLNonNull(GraphQLInt) } },
        subscribe: countdown,
      },
    },
  }),
});

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/graphql" });
useServer({ schema, context: (context) => context.extra.request }, server);
server.on("listening", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
