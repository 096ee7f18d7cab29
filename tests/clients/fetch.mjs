// Node's own fetch: only the first part of the address is another.
const base = process.env.INSTANTLY_BASE_URL;
const headers = { Authorization: `Bearer ${process.env.INSTANTLY_API_KEY}` };
for (let n = 0; n < 2; n += 1) {
  const answer = await fetch(`${base}/api/v2/lead-labels?limit=100`, { headers });
  if (!answer.ok) throw new Error(await answer.text());
  await answer.json();
  console.log(answer.headers.get("cache-status"));
}
