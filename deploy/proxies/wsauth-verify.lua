-- GET /auth/verify for HAProxy 2.6 and later; explained in docs/how-to/proxies.md. Its place: /etc/haproxy/
--
--   http-request lua.wsauth-verify http://127.0.0.1:8080/auth/verify
--
-- 204 lets the request go on, with the identity headers; every other answer goes to the client, and so does a failure.
-- Headers that clients may not set are removed before, in haproxy.cfg.

local ASKS = { "authorization", "cookie", "origin", "host", "x-forwarded-for", "x-forwarded-proto" }
local TELLS = { "x-wsauth-issuer", "x-wsauth-subject", "x-wsauth-session", "x-wsauth-roles", "x-wsauth-permissions",
                "x-wsauth-truncated" }
local REFUSES = { "content-type", "cache-control", "www-authenticate", "retry-after" }

-- The values of a header as a list; HAProxy counts them from 0.
local function values(headers, name)
    local found, index = {}, 0
    while headers[name] and headers[name][index] do
        table.insert(found, headers[name][index])
        index = index + 1
    end
    return found
end

local function refuse(txn, answer)
    local reply = txn:reply({ status = 503 })
    if answer and answer.status >= 400 then
        reply = txn:reply({ status = answer.status, body = answer.body })
        for _, name in ipairs(REFUSES) do
            for _, value in ipairs(values(answer.headers, name)) do
                reply:add_header(name, value)
            end
        end
    end
    txn:done(reply)
end

core.register_action("wsauth-verify", { "http-req" }, function(txn, url)
    local sent = txn.http:req_get_headers()
    local headers = { ["x-original-uri"] = { txn.sf:path() } }
    for _, name in ipairs(ASKS) do
        local found = values(sent, name)
        if #found > 0 then headers[name] = found end
    end

    local answer = core.httpclient():get({ url = url, headers = headers, timeout = 5000 })
    if not answer or answer.status ~= 204 then return refuse(txn, answer) end

    for _, name in ipairs(TELLS) do
        for _, value in ipairs(values(answer.headers, name)) do
            txn.http:req_add_header(name, value)
        end
    end
end, 1)
