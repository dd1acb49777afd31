//! A writer of sequential JPEG files from random coefficients: any sampling, in one scan or in several, with and without
//! restart markers, in codes of every length.
//!
//! What it writes is no picture. It is its own reference: it knows the coefficients.

/// What to write.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) width: u16,
    pub(super) height: u16,
    /// Sampling factors of one or three components.
    pub(super) sampling: Vec<(usize, usize)>,
    pub(super) is_interleaved: bool,
    /// Units between restart markers, or 0.
    pub(super) restart_interval: u16,
    /// How a coefficient is quantised, every one.
    pub(super) step: u8,
    pub(super) seed: u32,
}

/// A component's blocks: the coefficients in the order of storing.
pub(super) struct Blocks {
    pub(super) across: usize,
    pub(super) blocks: Vec<[i32; 64]>,
}

/// By length from 1, how many codes there are.
const DC_COUNTS: [u8; 16] = [0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4];
const AC_COUNTS: [u8; 16] = [0, 1, 1, 1, 0, 2, 0, 10, 20, 0, 20, 20, 20, 0, 20, 47];

/// Writes the file; answers it and what is in it.
pub(super) fn write(spec: &Spec) -> (Vec<u8>, Vec<Blocks>) {
    let mut random = Random(spec.seed | 1);
    let largest =
        |pick: fn(&(usize, usize)) -> usize| spec.sampling.iter().map(pick).max().unwrap();
    let (widest, tallest) = (largest(|it| it.0), largest(|it| it.1));
    let units = (
        usize::from(spec.width).div_ceil(8 * widest),
        usize::from(spec.height).div_ceil(8 * tallest),
    );
    let components: Vec<Blocks> = spec
        .sampling
        .iter()
        .map(|&(across, down)| Blocks {
            across: units.0 * across,
            blocks: (0..units.0 * across * units.1 * down)
                .map(|_| random.block())
                .collect(),
        })
        .collect();

    let mut file = vec![0xff, 0xd8];
    segment(
        &mut file,
        0xdb,
        &[&[0], [spec.step; 64].as_slice()].concat(),
    );
    let mut frame = vec![8];
    frame.extend(spec.height.to_be_bytes());
    frame.extend(spec.width.to_be_bytes());
    frame.push(spec.sampling.len() as u8);
    for (id, &(across, down)) in (1..).zip(&spec.sampling) {
        frame.extend([id, (across << 4 | down) as u8, 0]);
    }
    segment(&mut file, 0xc1, &frame);
    let (dc, ac) = (
        Code::new(&DC_COUNTS, dc_symbols()),
        Code::new(&AC_COUNTS, ac_symbols()),
    );
    segment(
        &mut file,
        0xc4,
        &[&[0x00], dc.counts.as_slice(), &dc.symbols].concat(),
    );
    segment(
        &mut file,
        0xc4,
        &[&[0x10], ac.counts.as_slice(), &ac.symbols].concat(),
    );
    segment(&mut file, 0xdd, &spec.restart_interval.to_be_bytes());

    let all: Vec<usize> = (0..components.len()).collect();
    let scans: Vec<&[usize]> = match spec.is_interleaved {
        true => vec![&all],
        false => all.chunks(1).collect(),
    };
    for scan in scans {
        let mut header = vec![scan.len() as u8];
        header.extend(scan.iter().flat_map(|&index| [index as u8 + 1, 0]));
        header.extend([0, 63, 0]);
        segment(&mut file, 0xda, &header);
        let mut units_of_blocks: Vec<Vec<(usize, usize)>> = Vec::new();
        if let [alone] = *scan {
            let (h, v) = spec.sampling[alone];
            let across = (usize::from(spec.width) * h).div_ceil(widest * 8);
            let down = (usize::from(spec.height) * v).div_ceil(tallest * 8);
            for y in 0..down {
                for x in 0..across {
                    units_of_blocks.push(vec![(alone, y * components[alone].across + x)]);
                }
            }
        } else {
            for y in 0..units.1 {
                for x in 0..units.0 {
                    let mut unit = Vec::new();
                    for &index in scan {
                        let (h, v) = spec.sampling[index];
                        for row in 0..v {
                            for column in 0..h {
                                let row = y * v + row;
                                unit.push((index, row * components[index].across + x * h + column));
                            }
                        }
                    }
                    units_of_blocks.push(unit);
                }
            }
        }
        let mut bits = Bits::default();
        let mut last = [0; 3];
        for (number, unit) in units_of_blocks.iter().enumerate() {
            let interval = usize::from(spec.restart_interval);
            if interval > 0 && number > 0 && number % interval == 0 {
                bits.flush(&mut file);
                file.extend([0xff, 0xd0 + ((number / interval - 1) % 8) as u8]);
                last = [0; 3];
            }
            for &(index, block) in unit {
                let block = &components[index].blocks[block];
                bits.block(block, &mut last[index], &dc, &ac);
            }
        }
        bits.flush(&mut file);
    }
    file.extend([0xff, 0xd9]);
    (file, components)
}

fn dc_symbols() -> Vec<u8> {
    (0..=11).collect()
}

/// End of block and the commonest first.
fn ac_symbols() -> Vec<u8> {
    let mut symbols = vec![0x00, 0x01, 0x11, 0xf0];
    for size in 1..=10 {
        symbols.extend((0..16).map(|run| run << 4 | size));
    }
    let mut seen = [false; 256];
    symbols.retain(|&symbol| !std::mem::replace(&mut seen[usize::from(symbol)], true));
    symbols
}

fn segment(file: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((payload.len() as u16 + 2).to_be_bytes());
    file.extend(payload);
}

struct Code {
    counts: [u8; 16],
    symbols: Vec<u8>,
    /// By symbol: code and length.
    codes: [(u32, u32); 256],
}

impl Code {
    fn new(counts: &[u8; 16], symbols: Vec<u8>) -> Self {
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        assert_eq!(total, symbols.len(), "every symbol has a code");
        let mut codes = [(0, 0); 256];
        let (mut code, mut next) = (0, symbols.iter());
        for (bits, &count) in (1..).zip(counts) {
            for _ in 0..count {
                codes[usize::from(*next.next().unwrap())] = (code, bits);
                code += 1;
            }
            code <<= 1;
        }
        Self {
            counts: *counts,
            symbols,
            codes,
        }
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        self.held = self.held << bits | u64::from(value) & ((1 << bits) - 1);
        self.count += bits;
        while self.count >= 8 {
            let byte = (self.held >> (self.count - 8)) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
            self.count -= 8;
        }
    }

    /// Fills up with ones.
    fn flush(&mut self, file: &mut Vec<u8>) {
        if self.count > 0 {
            self.put(0x7f, 8 - self.count);
        }
        file.append(&mut self.bytes);
    }

    fn number(&mut self, code: &Code, run: usize, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        let (bits, length) = code.codes[run << 4 | size as usize];
        self.put(bits, length);
        self.put((value - i32::from(value < 0)) as u32, size);
    }

    fn block(&mut self, block: &[i32; 64], last: &mut i32, dc: &Code, ac: &Code) {
        self.number(dc, 0, block[0] - *last);
        *last = block[0];
        let mut run = 0;
        for &value in &block[1..] {
            if value == 0 {
                run += 1;
                continue;
            }
            while run >= 16 {
                let (bits, length) = ac.codes[0xf0];
                self.put(bits, length);
                run -= 16;
            }
            self.number(ac, run, value);
            run = 0;
        }
        if run > 0 {
            let (bits, length) = ac.codes[0];
            self.put(bits, length);
        }
    }
}

struct Random(u32);

impl Random {
    fn next(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % below
    }

    /// Of up to `bits` bits.
    fn value(&mut self, bits: u32) -> i32 {
        let bits = self.next(bits) + 1;
        self.next(1 << (bits + 1)) as i32 - (1 << bits)
    }

    fn block(&mut self) -> [i32; 64] {
        let mut block = [0; 64];
        block[0] = self.value(8).clamp(-1000, 1000);
        let density = self.next(64);
        for coefficient in &mut block[1..] {
            if self.next(64) < density {
                *coefficient = self.value(8);
            }
        }
        if self.next(8) == 0 {
            // Without an end of block.
            block[63] = 1;
        }
        block
    }
}
