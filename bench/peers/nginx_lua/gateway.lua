-- jwt-auth (HS256) and limit-count as one would write them in plain Lua with Debian's packages:
-- lua-cjson for the claims, OpenSSL's HMAC through LuaJIT's FFI, a shared dictionary for the counts.
-- The HMAC context of a consumer is keyed once and re-initialised per token (HMAC_Init_ex with no key),
-- which OpenSSL answers from the saved pad states: the cheapest verification it has.

local ffi = require "ffi"
local base64 = require "ngx.base64"
local cjson = require "cjson.safe"
local consumers = require "consumers"

ffi.cdef [[
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct evp_md_st EVP_MD;
HMAC_CTX *HMAC_CTX_new(void);
const EVP_MD *EVP_sha256(void);
int HMAC_Init_ex(HMAC_CTX *ctx, const void *key, int key_len, const EVP_MD *md, void *engine);
int HMAC_Update(HMAC_CTX *ctx, const unsigned char *data, size_t len);
int HMAC_Final(HMAC_CTX *ctx, unsigned char *md, unsigned int *len);
]]

local C = ffi.C
local decode, encode = base64.decode_base64url, base64.encode_base64url
local find, sub, byte = string.find, string.sub, string.byte
local digest, digest_length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local counters = ngx.shared.counters
local WINDOW = 3600
local known_heads = {}

for _, consumer in pairs(consumers) do
  consumer.hmac = C.HMAC_CTX_new()
  assert(C.HMAC_Init_ex(consumer.hmac, consumer.secret, #consumer.secret, C.EVP_sha256(), nil) == 1)
end

local function is_hs256(head)
  local known = known_heads[head]
  if known == nil then
    local fields = cjson.decode(decode(head) or "")
    known = type(fields) == "table" and fields.alg == "HS256"
    if known then
      known_heads[head] = true
    end
  end
  return known
end

local function signed(consumer, signing_input, signature)
  local hmac = consumer.hmac
  C.HMAC_Init_ex(hmac, nil, 0, nil, nil)
  C.HMAC_Update(hmac, signing_input, #signing_input)
  C.HMAC_Final(hmac, digest, digest_length)
  local expected = encode(ffi.string(digest, 32))
  if #expected ~= #signature then
    return false
  end
  local difference = 0
  for i = 1, #expected do
    difference = bit.bor(difference, bit.bxor(byte(expected, i), byte(signature, i)))
  end
  return difference == 0
end

local function verified(token)
  local first = find(token, ".", 1, true)
  local second = first and find(token, ".", first + 1, true)
  if not second or not is_hs256(sub(token, 1, first - 1)) then
    return nil
  end
  local claims = cjson.decode(decode(sub(token, first + 1, second - 1)) or "")
  local consumer = type(claims) == "table" and consumers[claims.key]
  if not consumer or not signed(consumer, sub(token, 1, second - 1), sub(token, second + 1)) then
    return nil
  end
  if claims.exp and claims.exp <= ngx.time() then
    return nil
  end
  return consumer
end

local function answer(status, body)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print(body)
  return ngx.exit(status)
end

local function access()
  local header = ngx.var.http_authorization
  local token = header and (sub(header, 1, 7) == "Bearer " and sub(header, 8) or header)
  local consumer = token and verified(token)
  if not consumer then
    return answer(401, '{"message":"failed to verify jwt"}')
  end
  if counters:incr(consumer.name, 1, 0, WINDOW) > consumer.limit then
    return answer(429, '{"error_msg":"Too Many Requests"}')
  end
  ngx.req.set_header("X-Consumer-Username", consumer.name)
end

return { access = access }
