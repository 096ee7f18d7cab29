vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@UPSTREAM@"; }
sub vcl_recv {
  if (req.url ~ "^/api/v2/lead-labels") { return (hash); }
  return (pass);
}
sub vcl_hash { hash_data(req.http.Authorization); }
sub vcl_backend_response { set beresp.ttl = 1h; }
