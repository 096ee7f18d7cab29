# Makes the calls of a file with Ruby's Net::HTTP: drive.rb BASE KEY FILE, as drive.py tells.
require "digest"
require "json"
require "net/http"
require "stringio"

base, default_key, file = ARGV
$stdout.sync = true
address = URI(base)

JSON.parse(File.read(file)).each do |call|
  told = { name: call["name"] }
  begin
    body = call["body"] && call["body"] * (call["times"] || 1)
    has_answer = call["method"] != "HEAD"
    request = Net::HTTPGenericRequest.new(call["method"], !body.nil?, has_answer, call["target"])
    request["Authorization"] = "Bearer #{call["key"] || default_key}"
    (call["fields"] || {}).each { |name, value| request[name] = value }
    if body && call["chunked"]
      request["Transfer-Encoding"] = "chunked"
      request.body_stream = StringIO.new(body)
    elsif body
      request.body = body
    end
    Net::HTTP.start(address.host, address.port, read_timeout: 30, write_timeout: 30) do |connection|
      connection.max_retries = 0
      answer = connection.request(request)
      content = answer.body || ""
      fields = answer.to_hash.flat_map { |name, values| values.map { |value| [name, value] } }
      told.update(status: answer.code.to_i, fields: fields, length: content.bytesize,
                  sha256: Digest::SHA256.hexdigest(content), start: content.byteslice(0, 2000).force_encoding("UTF-8").scrub)
    end
  rescue StandardError => error
    told[:error] = "#{error.class}: #{error.message}"[0, 200]
  end
  puts JSON.generate(told)
end
