// Loaded before a client whose base URL is written into it: the API is where INSTANTLY_BASE_URL says.
const { fetch } = globalThis;
globalThis.fetch = (url, options) => fetch(String(url).replace("https://api.instantly.ai", process.env.INSTANTLY_BASE_URL), options);
