//! The desktop app behind the screens: commands to it, events from it.
//!
//! Not here: any path of a file. The window's drops are taken by the app itself.

import { convertFileSrc, invoke } from "@tauri-apps/api/core";
import { listen, type UnlistenFn } from "@tauri-apps/api/event";

import { strings } from "../strings";
import { asBackendError, type Backend, type BackendEvents } from "./backend";
import type { AppState, FileDrag, GalleryChange, ImagePage, UploadView } from "./types";

async function command<T>(name: string, args?: Record<string, unknown>): Promise<T> {
  try {
    return await invoke<T>(name, args);
  } catch (thrown) {
    throw asBackendError(thrown, strings.errors.unexpected);
  }
}

export function tauriBackend(): Backend {
  // `thumb://localhost/` on Linux and macOS, `http://thumb.localhost/` on Windows.
  const pictures = convertFileSrc("", "thumb");
  const state = () => command<AppState>("app_state");

  return {
    intake: { kind: "native", pick: () => command<UploadView[]>("pick_files") },
    session: {
      kind: "desktop",
      startLocalGallery: () => command<AppState>("start_local_gallery"),
      connect: (server, token) => command<AppState>("connect", { server, token }),
      async disconnect() {
        await command("disconnect");
        return state();
      },
    },
    state,
    images: (query) => command<ImagePage>("images", { query }),
    deleteImage: (id) => command("delete_image", { id }),
    uploads: () => command<UploadView[]>("uploads"),
    cancelUpload: (id) => command("cancel_upload", { id }),
    retryUpload: (id) => command("retry_upload", { id }),
    clearFinishedUploads: () => command("clear_finished_uploads"),
    copyLink: (text) => command("copy_link", { text }),
    pictureUrl: (image, size) => `${pictures}${image.id}/${size}`,
    listen: listenToApp,
  };
}

function listenToApp(events: BackendEvents): () => void {
  const subscriptions: Promise<UnlistenFn>[] = [
    listen<AppState>("state_changed", (event) => events.stateChanged(event.payload)),
    listen<UploadView[]>("uploads_changed", (event) => events.uploadsChanged(event.payload)),
    listen<GalleryChange>("gallery_changed", (event) => events.galleryChanged(event.payload)),
    listen<FileDrag>("file_drag", (event) => events.fileDrag(event.payload)),
  ];
  return () => {
    for (const subscription of subscriptions) void subscription.then((stop) => stop());
  };
}
