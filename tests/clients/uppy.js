// What a page does with Uppy, step by step, as a test tells it. Uppy itself is as its authors publish it.

import AwsS3 from '@uppy/aws-s3';
import Uppy from '@uppy/core';

const gallery = new URLSearchParams(location.search).get('gallery');

// Uppy's plugin sends no token to a Companion server; a page that has one adds it to what goes to the gallery.
const plain = window.fetch;
window.token = null;
window.fetch = (resource, options = {}) => {
  if (!window.token || !String(resource).startsWith(gallery)) return plain(resource, options);
  const headers = new Headers(options.headers);
  headers.set('authorization', `Bearer ${window.token}`);
  return plain(resource, { ...options, headers });
};

/** What happened: parts sent, what was stopped and how, and how it ended. */
const nothing = () => ({ parts: [], paused: false, cancelled: null, result: null });
window.seen = nothing();

/**
 * Uploads the file that was picked. After the part `stop.after` it pauses or is cancelled.
 * @param {{after?: number, by?: 'pause' | 'cancel'}} stop
 */
window.send = async (stop) => {
  window.seen = nothing();
  const [data] = document.getElementById('file').files;
  const uppy = new Uppy({ id: data.name, autoProceed: false });
  window.uppy = uppy;
  uppy.use(AwsS3, {
    companionEndpoint: gallery,
    shouldUseMultipart: (file) => file.size > 5 * 1024 * 1024,
  });
  uppy.on('s3-multipart:part-uploaded', (_file, part) => {
    window.seen.parts.push(part.PartNumber);
    if (window.seen.parts.length !== stop.after) return;
    if (stop.by === 'pause') {
      uppy.pauseAll();
      window.seen.paused = true;
    } else {
      const multipart = window.multipart();
      uppy.cancelAll();
      window.seen.cancelled = multipart;
    }
  });
  uppy.on('upload-error', (_file, error) => {
    window.seen.result = { error: String(error) };
  });
  uppy.addFile({ name: data.name, type: data.type, data });
  window.multipart = () => uppy.getFiles()[0]?.s3Multipart;
  const result = await uppy.upload();
  window.seen.result ??= {
    successful: result.successful.length,
    failed: result.failed.length,
    location: result.successful[0]?.uploadURL ?? null,
    key: result.successful[0]?.response?.body?.key ?? null,
  };
};

window.ready = true;
