-- Fifty tokens by twenty labels, in turn: the same for every system. Arguments: hit, 304, miss or pass; where misses begin.
local kind, offset = "hit", 0
local turn, wrong = 0, 0
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  kind = args[1] or "hit"
  offset = tonumber(args[2] or "0")
end

local function text(token, path)
  local fields = {
    ["Authorization"] = string.format("Bearer VG9rZW4tbnVtYmVyLTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw%02d==", token),
    ["Accept"] = "application/json", ["User-Agent"] = "service/1.0", ["Accept-Encoding"] = "identity",
    ["X-Request-Id"] = "0123456789abcdef",
  }
  if kind == "304" then fields["If-None-Match"] = '"peer"' end
  return wrk.format("GET", path, fields)
end

local function label(number) return string.format("/api/v2/lead-labels/01935c4b-0000-7abc-9def-%012x", number) end

-- The requests are written once, so that the load costs the same for every system and little.
local texts = {}

function request()
  turn = turn + 1
  local token = turn % 50
  if kind == "miss" then return text(token, label(offset + turn)) end
  local place = turn % 1000
  local found = texts[place]
  if not found then
    found = text(token, kind == "pass" and "/api/v2/campaigns" or label(math.floor(place / 50) + 1))
    texts[place] = found
  end
  return found
end

-- Every answer of a kind has the same status and the same length.
local length = nil

function response(status, _, body)
  length = length or #body
  if status ~= (kind == "304" and 304 or 200) or #body ~= length then wrong = wrong + 1 end
  wrong_total = wrong
end

function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + (thread:get("wrong_total") or 0) end
  local errors = summary.errors
  bad = bad + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %d %d %.0f %.0f %d\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), bad))
end
