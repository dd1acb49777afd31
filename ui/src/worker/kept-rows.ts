//! The pictures of all lists that were ever answered and are kept, for questions that were never asked in just that way.
//!
//! The grid asks for what is in sight, and what that is changes with the window and with each new picture: the same
//! question hardly comes twice. Pure; reading the lists is the worker's. Invariant: of a picture that stands in several
//! lists the last one added counts.

/** What is needed of a row; the rest goes through as it came. */
export interface Row {
  readonly id: string;
  readonly sequence: number;
}

export interface Wanted {
  readonly low: number;
  readonly high: number;
  readonly limit: number;
}

const MOST = 500;

/** Which rows a question is about; null when it is another one. */
export function wantedBy({ pathname, searchParams }: URL): Wanted | null {
  const range = /^(\d{1,10})-(\d{1,10})$/.exec(searchParams.get("sequences") ?? "");
  if (pathname !== "/v1/images" || range === null) return null;
  const limit = Number(searchParams.get("limit") ?? MOST);
  return {
    low: Number(range[1]),
    high: Number(range[2]),
    limit: limit >= 1 && limit <= MOST ? limit : MOST,
  };
}

export class KeptRows {
  readonly #rows = new Map<number, Row>();
  readonly #byId = new Map<string, Row>();

  /** Takes an answer of `/v1/images`, or of one picture; anything else is none. */
  add(answer: unknown): void {
    const images = (answer as { images?: unknown } | null)?.images;
    for (const row of Array.isArray(images) ? images : [answer]) {
      if (!isRow(row)) continue;
      this.#rows.set(row.sequence, row);
      this.#byId.set(row.id, row);
    }
  }

  /** Newest first, as the server answers; those that are not kept are missing. */
  answer({ low, high, limit }: Wanted): { images: Row[]; next_cursor: null } {
    const images = [...this.#rows.values()]
      .filter(({ sequence }) => sequence >= low && sequence <= high)
      .sort((a, b) => b.sequence - a.sequence)
      .slice(0, limit);
    return { images, next_cursor: null };
  }

  one(id: string): Row | undefined {
    return this.#byId.get(id);
  }
}

function isRow(value: unknown): value is Row {
  const row = value as Partial<Row> | null;
  return (
    typeof row === "object" && row !== null && typeof row.id === "string" && Number.isInteger(row.sequence)
  );
}
