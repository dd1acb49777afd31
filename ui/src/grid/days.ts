//! The days that the pictures of a timeline fall on, by the user's own calendar.
//!
//! Not here: words for them. Invariant: every picture is in one section, in the timeline's order; the days of sections
//! descend, also where two clocks did not agree on midnight.

export interface Sections {
  readonly count: number;
  /** The first picture of each, and behind the last one the count of pictures. */
  readonly starts: Int32Array;
  /** Each one's day as a number: 20261126. */
  readonly days: Int32Array;
}

/** A day: its number, and the seconds since 1970 from its first to before its last. */
export interface Day {
  readonly number: number;
  readonly from: number;
  readonly to: number;
}

/** The local day of a moment. */
export function localDay(seconds: number): Day {
  const date = new Date(seconds * 1000);
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
  return {
    number: year * 10_000 + (month + 1) * 100 + day,
    from: new Date(year, month, day).getTime() / 1000,
    to: new Date(year, month, day + 1).getTime() / 1000,
  };
}

/** Noon of a day, which is that day in every calendar of the place. */
export const dateOf = (day: number): Date =>
  new Date(Math.floor(day / 10_000), (Math.floor(day / 100) % 100) - 1, day % 100, 12);

/** The calendar is asked once a day of pictures, not once a picture. */
export function sectionsOf(created: Uint32Array, dayOf: (seconds: number) => Day = localDay): Sections {
  const starts: number[] = [];
  const days: number[] = [];
  let from = Number.POSITIVE_INFINITY;
  for (let index = 0; index < created.length; index += 1) {
    const time = created[index]!;
    // Newer than the section is only what another clock says; it stays where the feed has it.
    if (time >= from) continue;
    const day = dayOf(time);
    from = day.from;
    starts.push(index);
    days.push(day.number);
  }
  starts.push(created.length);
  return { count: days.length, starts: Int32Array.from(starts), days: Int32Array.from(days) };
}
