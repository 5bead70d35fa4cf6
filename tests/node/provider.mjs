// A certified OpenID provider (npm oidc-provider) on loopback, with its own login and consent pages.
// Arguments: its port, and where it tells of log-outs. The API that is asked for decides the token: "opaque" is one that
// is asked about at the introspection endpoint, "signed" a JWT (RFC 9068).
import { createServer } from "node:http";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const logouts = process.argv[3];

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "app",
      client_secret: "the secret of the app",
      redirect_uris: [`${issuer}/nowhere`],
      grant_types: ["authorization_code", "refresh_token", "client_credentials"],
      ...(logouts && { backchannel_logout_uri: logouts }),
    },
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
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  pkce: { required: () => true },
});

createServer(provider.callback()).listen(port, "127.0.0.1", () => console.log("listening"));
