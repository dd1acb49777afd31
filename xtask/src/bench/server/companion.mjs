// `node companion.mjs FOLDER PORT [middleware]`: Companion as the program that it is by itself, or as its documentation has it
// inside another program for S3 alone: no sessions, no request ids, no log of requests.
import * as companion from "@uppy/companion";
import standalone from "@uppy/companion/standalone";
import express from "express";

const [folder, port, kind] = process.argv.slice(2);
const host = `127.0.0.1:${port}`;
const options = {
  secret: "only-for-the-bench",
  preAuthSecret: "only-for-the-bench",
  filePath: folder,
  uploadUrls: [`http://${host}`],
  corsOrigins: true,
  server: { host, protocol: "http" },
  s3: { key: "key", secret: "secret", bucket: "pictures", region: "us-east-1", expires: 300 },
};
const app =
  kind === "middleware"
    ? express().use(companion.app({ ...options, providerOptions: {} }).app)
    : standalone(options).app;
app.listen(Number(port), "127.0.0.1");
