// Thumbnails by sharp: `node sharp.mjs SIZE DIR FILE...`, two at a time, each on one thread.
import { basename, join } from "node:path";
import sharp from "sharp";

const [size, directory, ...files] = process.argv.slice(2);
sharp.concurrency(1);
sharp.cache(false);

async function work() {
  for (let file = files.shift(); file !== undefined; file = files.shift()) {
    await sharp(file)
      .rotate()
      .resize(Number(size), Number(size), { fit: "inside", withoutEnlargement: true })
      .jpeg({ quality: 80 })
      .toFile(join(directory, basename(file)));
  }
}

await Promise.all([work(), work()]);
