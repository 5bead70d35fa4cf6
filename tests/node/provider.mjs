// A certified OpenID provider (npm oidc-provider) on loopback, with its own login and consent pages.
// Arguments: its port, where it tells of log-outs, and the origin of a wsauth at which people sign in with it. The API
// that is asked for decides the token: "opaque" is one that is asked about at the introspection endpoint, "signed" a JWT
// (RFC 9068). For tests only: POST /test/roles/SUBJECT with a JSON list says which roles somebody has (all others have
// "staff"), and null that
// there is no such person any more.
import { createServer } from "node:http";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const logouts = process.argv[3];
const relying = process.argv[4];
const roles = new Map();
// Another one at each start.
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "app",
      client_secret: "the secret of the app",
      redirect_uris: [`${issuer}/nowhere`],
      grant_types: ["authorization_code", "refresh_token", "client_credentials"],
      ...(logouts && { backchannel_logout_uri: logouts }),
    },
    ...(relying
      ? [
          {
            client_id: "web",
            client_secret: "the secret of the web client",
            redirect_uris: [`${relying}/auth/oauth/idp/callback`],
            post_logout_redirect_uris: [`${relying}/bye`],
            grant_types: ["authorization_code", "refresh_token"],
            ...(logouts && { backchannel_logout_uri: logouts, backchannel_logout_session_required: true }),
          },
        ]
      : []),
    {
      client_id: "wsauth",
      client_secret: "the secret: of wsauth",
      redirect_uris: [],
      response_types: [],
      grant_types: ["client_credentials"],
    },
    {
      client_id: "wsauth-post",
      client_secret: "another secret of wsauth",
      redirect_uris: [],
      response_types: [],
      grant_types: ["client_credentials"],
      token_endpoint_auth_method: "client_secret_post",
    },
  ],
  cookies: { keys: ["a key for the tests"] },
  jwks: { keys: [key] },
  // Its own fetch reaches no loopback address.
  fetch: (url, options) => {
    delete options.dispatcher;
    return fetch(url, options);
  },
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "chat:read chat:write",
        audience: resource,
        accessTokenFormat: resource.endsWith("signed") ? "jwt" : "opaque",
        accessTokenTTL: 600,
      }),
    },
  },
  scopes: ["openid", "offline_access", "roles"],
  claims: { openid: ["sub", "sid"], roles: ["roles"] },
  findAccount: (_, sub) =>
    roles.get(sub) === null
      ? undefined
      : { accountId: sub, claims: () => ({ sub, roles: roles.get(sub) ?? ["staff"] }) },
  pkce: { required: () => true },
});

const answer = provider.callback();

createServer(async (request, response) => {
  const told = /^\/test\/roles\/(\w+)$/.exec(request.url);
  if (!told) return answer(request, response);
  let body = "";
  for await (const chunk of request) body += chunk;
  roles.set(told[1], JSON.parse(body));
  response.end();
}).listen(port, "127.0.0.1", () => console.log("listening"));
