//! The newest answer, or what is kept where that does not come: the network is away, a gateway answers in the server's
//! place, or nobody answers in time.
//!
//! Pure: asking and keeping are the worker's. Invariant: what the server itself answered in time is what is answered.

/** How long the server may take where something is kept, in milliseconds. */
export const PATIENCE = 5000;

export interface Sources {
  /** Asks the network, and keeps what comes, however late. */
  ask(): Promise<Response>;
  /** What is kept; null when nothing is. An answer that holds no picture counts only where there is no other. */
  kept(evenEmpty: boolean): Promise<Response | null>;
}

/** Whether it is said by what stands in front of the server, or by a server that cannot do its work. */
const isUnavailable = (status: number): boolean => status === 502 || status === 503 || status === 504;

export async function networkFirst({ ask, kept }: Sources): Promise<Response> {
  const asking = ask();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), PATIENCE)));
  try {
    let answer = await Promise.race([asking, late]);
    if (answer === null) {
      const known = await kept(false);
      if (known !== null) {
        asking.catch(() => undefined);
        return known;
      }
      answer = await asking;
    }
    return isUnavailable(answer.status) ? ((await kept(false)) ?? answer) : answer;
  } catch (thrown) {
    const known = await kept(true);
    if (known === null) throw thrown;
    return known;
  } finally {
    clearTimeout(timer);
  }
}
