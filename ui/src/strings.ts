//! Every text that people read, in one place, so that another language is another object of the same shape.

const plurals = new Intl.PluralRules("en");

function plural(count: number, one: string, other: string): string {
  const form = plurals.select(count) === "one" ? one : other;
  return form.replace("#", new Intl.NumberFormat().format(count));
}

export const strings = {
  appName: "imgn",

  // The bar at the top.
  search: "Search pictures",
  clearSearch: "Clear the search",
  captionsShow: "Show names and sizes",
  captionsHide: "Hide names and sizes",
  upload: "Upload",
  uploadsToggle: (summary: string) => `Uploads: ${summary}`,
  server: (name: string) => `Gallery: ${name}`,

  // The grid.
  gallery: "Pictures",
  cellLabel: (name: string, size: string) => `${name}, ${size}`,
  arrivals: (count: number) => plural(count, "# new picture", "# new pictures"),
  loading: "Loading pictures",
  moreFailed: "More pictures could not be loaded.",
  tryAgain: "Try again",
  emptyTitle: "No pictures yet",
  emptyDesktop:
    "Drop pictures anywhere in this window, or choose some. They are public as soon as they are checked.",
  emptyWeb: "Drop pictures anywhere on this page, or choose some. You need a token to upload.",
  choosePictures: "Choose pictures",
  nothingFoundTitle: (search: string) => `Nothing found for “${search}”`,
  nothingFoundText: "Names are searched. Try a shorter word, or look at all pictures.",
  allPictures: "All pictures",
  galleryFailedTitle: "The gallery cannot be shown",
  anotherServer: "Connect to another server",
  startFailedTitle: "imgn could not start",
  offline: (server: string) =>
    `${server} cannot be reached. What is loaded stays; uploads wait and go on by themselves.`,

  // Dropping files.
  dropTitle: (count: number) =>
    count === 0 ? "Drop pictures" : plural(count, "Drop # picture", "Drop # pictures"),
  dropTarget: (server: string) => `to publish ${server}`,
  inLocalGallery: "in the gallery on this computer",
  inServer: (host: string) => `in ${host}`,
  dropNoServerTitle: "Choose a gallery first",
  dropNoServerText: "There is nowhere to put pictures yet.",
  localGallery: "This computer",

  // Uploads.
  uploads: "Uploads",
  closeUploads: "Close uploads",
  clearFinished: "Clear finished",
  noUploads: "Nothing is being uploaded",
  noUploadsText: "Pictures that you drop or choose appear here on their way to the gallery.",
  uploadState: {
    queued: "Waiting for its turn",
    hashing: "Reading",
    uploading: "Uploading",
    verifying: "Being checked",
    waiting: "Waiting for the server",
    published: "Published",
    duplicate: "Already in the gallery",
    rejected: "Not accepted",
    failed: "Failed",
    cancelled: "Cancelled",
  },
  cancelUpload: (name: string) => `Cancel the upload of ${name}`,
  retryUpload: (name: string) => `Try again to upload ${name}`,
  openUpload: (name: string) => `Show ${name}`,
  cancel: "Cancel",
  retry: "Retry",
  progressOf: (name: string) => `Progress of ${name}`,
  overallProgress: "Progress of all uploads",
  summaryIdle: "none running",
  summaryDone: (count: number) => plural(count, "# picture done", "# pictures done"),
  summaryRunning: (done: number, total: number) =>
    `${new Intl.NumberFormat().format(done)} of ${new Intl.NumberFormat().format(total)} done`,
  summaryFailed: (count: number) => plural(count, "# failed", "# failed"),
  summaryWaiting: "waiting for the server",
  sentOf: (sent: string, size: string) => `${sent} of ${size}`,
  timeLeft: (time: string) => `${time} left`,
  leavePage: "Uploads are still running.",

  // The viewer.
  viewer: (name: string) => `Picture ${name}`,
  close: "Close",
  previous: "Previous picture",
  next: "Next picture",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  zoomFit: "Fit to the window",
  zoomLevel: (percent: string) => `${percent}, fit to the window`,
  original: "Original",
  originalShown: "Original shown",
  originalLoading: "Loading the original",
  pictureFailed: "This picture could not be loaded.",
  takenAt: (date: string) => `Taken ${date}`,
  publishedAt: (date: string) => `Published ${date}`,
  copyLink: "Copy link",
  copyLinkOf: (name: string) => `Copy link to ${name}`,
  copied: "Copied",
  linkCopied: "Link copied",
  copyFailed: "The link could not be copied",
  delete: "Delete",
  deleteTitle: "Delete this picture?",
  deleteText: (name: string) => `${name} and its link stop working for everyone. This cannot be undone.`,
  deleted: (name: string) => `${name} was deleted`,

  // First start and connecting.
  firstStartTitle: "Where are your pictures to go?",
  firstStartText: "imgn puts pictures into a gallery that others can look at, and gives you a link to each.",
  startLocal: "Start a gallery on this computer",
  startLocalText: "Ready at once, no account. It runs while imgn is open.",
  starting: "Starting…",
  connectTitle: "Connect to a server",
  connectText: "Someone runs an imgn gallery for you, or you run it yourself.",
  connectUrl: "Address",
  connectUrlHint: "gallery.example.org",
  connectToken: "Token",
  connectTokenHint: "Only needed to upload. It is kept in this computer’s keyring.",
  optional: "optional",
  connect: "Connect",
  connecting: "Connecting…",
  addressMissing: "Enter the address of the server.",
  addressWrong: "This is not an address. It looks like gallery.example.org or http://192.168.1.5:8787.",
  back: "Back",

  // The gallery's own dialog, and the web page's token.
  aboutServer: "About this gallery",
  serverAddress: "Address",
  serverState: "State",
  serverReachable: "Connected",
  serverUnreachable: "Cannot be reached",
  serverUploads: "Uploads",
  uploadsAllowed: "Allowed",
  uploadsNeedToken: "Need a token",
  version: "Version",
  disconnect: "Leave this gallery",
  signIn: "Enter a token",
  signOut: "Forget the token",
  tokenTitle: "Upload needs a token",
  tokenText: "Whoever runs this gallery gives tokens to those who may upload. Looking needs none.",
  tokenLabel: "Token",
  tokenHint: "Kept until you close this tab.",
  tokenHintKeyring: "Kept in this computer’s keyring.",
  tokenSubmit: "Continue",
  tokenChecking: "Checking…",
  tokenMissing: "Enter the token you were given.",

  /** What stands in for an error's own message when it has none, and for what goes wrong in this page itself. */
  errors: {
    unexpected: "Something went wrong that imgn did not expect.",
    offline: "The server cannot be reached.",
    unauthorized: "This token is not valid here. Ask whoever runs the gallery for a new one.",
    store_full: "The gallery's store is full. Ask whoever runs it to make space, then try again.",
    store_unavailable: "The gallery's store does not answer. Trying again.",
    store_refused: "The store did not take the file. Try again.",
    file_unreadable: "The file cannot be read any more. Was it moved or changed?",
    empty_file: "The file is empty.",
    bad_answer: "The server answered in a way that this page does not understand.",
    upload_aborted: "The server gave this upload up. Try again.",
  },
} as const;
