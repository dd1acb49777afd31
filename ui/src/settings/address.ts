//! What people type as a server's address, as a URL.

/** The address of a server, or null when it cannot be one. A bare name gets `https://`, a bare local one `http://`. */
export function serverAddress(typed: string): string | null {
  const text = typed.trim();
  if (text === "") return null;
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0].toLowerCase();
  if (scheme !== undefined && scheme !== "http://" && scheme !== "https://") return null;
  let url: URL;
  try {
    url = new URL(scheme === undefined ? `https://${text}` : text);
  } catch {
    return null;
  }
  if (url.hostname === "" || url.username !== "" || url.password !== "") return null;
  if (scheme === undefined && isLocal(url.hostname)) url = new URL(`http://${text}`);
  url.hash = "";
  url.search = "";
  return url.href.replace(/\/$/, "");
}

/** Whether a token goes to this address so that whoever is on the way can read it. */
export function isOpen(typed: string): boolean {
  const server = serverAddress(typed);
  if (server === null) return false;
  const { protocol, hostname } = new URL(server);
  return protocol === "http:" && !/^(localhost|\[::1\]|127\..*|.*\.localhost)$/.test(hostname);
}

/** Whether a host is this computer or in its own network, where certificates are rare. */
function isLocal(host: string): boolean {
  return (
    host === "localhost" ||
    host === "[::1]" ||
    host.endsWith(".localhost") ||
    host.endsWith(".local") ||
    /^(127|10)\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\./.test(host)
  );
}
