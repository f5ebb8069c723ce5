-- wrk's script: posts one document again and again, and prints wrk's counts on one line.
--   wrk ... --script post.lua URL -- DOCUMENT

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "text/xml"
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "counted microseconds=%d replies=%d bytes=%d " ..
      "connect=%d read=%d write=%d timeout=%d status=%d\n",
    summary.duration, summary.requests, summary.bytes,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
