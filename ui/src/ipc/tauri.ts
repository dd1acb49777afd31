//! The desktop app behind the screens: commands to it, events from it, by the bindings that are generated from it.
//!
//! Not here: any path of a file. The window's drops are taken by the app itself.

import { convertFileSrc, invoke } from "@tauri-apps/api/core";

import { strings } from "../strings";
import { asBackendError, type Backend, type BackendEvents, HISTORY_PAGE } from "./backend";
import { commands, events } from "./bindings";
import { readTimeline } from "./timeline";

async function answer<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (thrown) {
    throw asBackendError(thrown, strings.errors.unexpected);
  }
}

async function done(call: Promise<unknown>): Promise<void> {
  await answer(call);
}

export function tauriBackend(): Backend {
  // `thumb://localhost/` on Linux and macOS, `http://thumb.localhost/` on Windows.
  const pictures = convertFileSrc("", "thumb");

  return {
    intake: {
      kind: "native",
      pick: () => answer(commands.pickFiles()),
      pickFolders: () => answer(commands.pickFolders()),
      paste: () => answer(commands.paste()),
    },
    session: {
      kind: "desktop",
      startLocalGallery: () => answer(commands.startLocalGallery()),
      connect: (server, token) => answer(commands.connect(server, token)),
      visit: (server) => answer(commands.visit(server)),
      connectForNow: (server, token) => answer(commands.connectForNow(server, token)),
      disconnect: () => answer(commands.disconnect()),
      galleries: () => answer(commands.galleries()),
      switchTo: (server) => answer(commands.switchGallery(server)),
      rename: (server, name) => done(commands.nameGallery(server, name)),
      forget: (server) => done(commands.forgetGallery(server)),
    },
    state: () => answer(commands.appState()),
    // Bytes, which the generated bindings do not know.
    timeline: async (search) =>
      readTimeline(await answer(invoke<ArrayBuffer>("timeline", { search })), search),
    pictures: ({ sequences }, start, end) => answer(commands.pictures([...sequences.subarray(start, end)])),
    picture: (id) => answer(commands.picture(id)),
    deleteImages: (ids) => answer(commands.deleteImages(ids)),
    offline: {
      keep: (ids, keep) => done(commands.keepOriginals(ids, keep)),
      keepAll: (keep) => done(commands.keepAllOriginals(keep)),
      state: () => answer(commands.offlineState()),
      setCacheLimit: (bytes) => done(commands.setCacheLimit(bytes)),
    },
    download: (images) => answer(commands.download(images.map(({ id }) => id))),
    dragOut: navigator.userAgent.includes("Linux")
      ? async (images) => void (await answer(commands.dragOut(images.map(({ id }) => id))))
      : null,
    uploads: () => answer(commands.uploads()),
    cancelUpload: (id) => done(commands.cancelUpload(id)),
    retryUpload: (id) => done(commands.retryUpload(id)),
    pauseUpload: (id) => done(commands.pauseUpload(id)),
    resumeUpload: (id) => done(commands.resumeUpload(id)),
    moveUploadToTop: (id) => done(commands.moveUploadToTop(id)),
    pauseUploads: () => done(commands.pauseUploads()),
    resumeUploads: () => done(commands.resumeUploads()),
    cancelUploads: () => done(commands.cancelUploads()),
    retryUploads: () => done(commands.retryUploads()),
    uploadSettings: {
      get: () => answer(commands.uploadPreferences()),
      set: (preferences) => done(commands.setUploadPreferences(preferences)),
    },
    clearFinishedUploads: (only) => done(commands.clearFinishedUploads(only)),
    gone: (images) =>
      answer(
        commands.gone(images.flatMap(({ id, sequence }) => (sequence === undefined ? [] : [[id, sequence]]))),
      ),
    copyLink: (text) => done(commands.copyLink(text)),
    desktop: {
      preferences: () => answer(commands.desktopPreferences()),
      setPreferences: (preferences) => done(commands.setDesktopPreferences(preferences)),
      takeKeyAgain: () => done(commands.takeKeyAgain()),
      suspendKey: (isSuspended) => done(commands.suspendKey(isSuspended)),
      takeWanted: () => answer(commands.takeWanted()),
      examine: () => answer(commands.examine()),
      asked: () => answer(commands.asked()),
      answerAsked: (id, mayPublish) => done(commands.answerAsked(id, mayPublish)),
      askedUrl: (id, index) => `${pictures}asked-${id}/${index}`,
    },
    links: {
      preferences: () => answer(commands.linkPreferences()),
      setPreferences: (preferences) => done(commands.setLinkPreferences(preferences)),
      example: (format) => answer(commands.linkExample(format)),
      make: (ids, format, alt) => answer(commands.links(ids, format, alt)),
      copy: (ids, format, alt) => done(commands.copyLinks(ids, format, alt)),
    },
    general: {
      get: () => answer(commands.generalPreferences()),
      set: (preferences) => done(commands.setGeneralPreferences(preferences)),
    },
    history: {
      page: (search, before) => answer(commands.history(search, before, HISTORY_PAGE)),
      copyLink: ({ image }) => done(commands.copyHistoryLink(image.id)),
      forget: (uploads) => done(commands.forgetHistory(uploads)),
    },
    pictureUrl: (image, size) => `${pictures}${image.id}/${size}`,
    listen: listenToApp,
  };
}

async function listenToApp(told: BackendEvents): Promise<() => void> {
  const subscriptions = [
    events.stateChanged.listen(({ payload }) => told.stateChanged(payload)),
    events.uploadsChanged.listen(({ payload }) => told.uploadsChanged(payload)),
    events.timelineChanged.listen(() => told.timelineChanged()),
    events.deletionFailed.listen(({ payload }) => told.deletionFailed(payload)),
    events.linksCopied.listen(({ payload }) => told.linksCopied(payload.count)),
    events.wantedChanged.listen(() => told.wantedChanged()),
    events.askedChanged.listen(() => told.askedChanged()),
    events.fileDrag.listen(({ payload }) => told.fileDrag(payload)),
    events.leaving.listen(() => void told.leaving().finally(() => commands.left())),
  ];
  const stops = await answer(Promise.all(subscriptions));
  return () => {
    for (const stop of stops) stop();
  };
}
