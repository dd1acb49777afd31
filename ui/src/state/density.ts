//! How large the grid's pictures are: a few steps that somebody chooses from.

/** Times the height of rows that is comfortable at a width, from many small pictures to few large ones. */
export const DENSITIES: readonly number[] = [0.45, 0.7, 1, 1.5, 2.2];

export const DEFAULT_DENSITY = 2;
