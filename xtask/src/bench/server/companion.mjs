// Companion as its documentation has it for S3 alone: no sessions, no providers, no log of requests.
// `node companion.mjs FOLDER PORT`
import * as companion from "@uppy/companion";
import express from "express";

const [folder, port] = process.argv.slice(2);
const host = `127.0.0.1:${port}`;
const { app } = companion.app({
  secret: "only-for-the-bench",
  filePath: folder,
  uploadUrls: [`http://${host}`],
  corsOrigins: true,
  server: { host, protocol: "http" },
  providerOptions: {},
  s3: { key: "key", secret: "secret", bucket: "pictures", region: "us-east-1", expires: 300 },
});
express().use(app).listen(Number(port), "127.0.0.1");
