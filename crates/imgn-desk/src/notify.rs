//! Notifications of Linux desktops (`org.freedesktop.Notifications` 1.2), with what can be done about them.
//!
//! One listener for all of them, which wakes when somebody presses something. Invariant: with no bus or no server for
//! notifications nothing is said, and nothing else is lost.

use std::{collections::HashMap, path::Path};

use futures_util::StreamExt as _;
use tokio::sync::OnceCell;
use zbus::{Connection, proxy, zvariant::Value};

#[proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    #[expect(clippy::too_many_arguments, reason = "the interface has them")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;

    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action_key: &str) -> zbus::Result<()>;
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice<'a> {
    /// Its title.
    pub(crate) summary: &'a str,
    /// Its text; plain.
    pub(crate) body: &'a str,
    /// A picture's file.
    pub(crate) picture: Option<&'a Path>,
    /// What can be done: a name for programs, and words.
    pub(crate) actions: &'a [(&'static str, &'static str)],
}

/// The session's notifications, asked when there is first something to say.
#[derive(Default)]
pub(crate) struct Notifier(OnceCell<Option<Server>>);

struct Server {
    proxy: NotificationsProxy<'static>,
    has_actions: bool,
    has_markup: bool,
}

/// A notification that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NoticeId(u32);

/// What somebody pressed on a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// On which.
    pub(crate) id: NoticeId,
    /// The name of what was pressed.
    pub(crate) action: String,
}

impl Notifier {
    async fn server(&self) -> Option<&Server> {
        let connect = async || {
            let connection = Connection::session().await?;
            let proxy = NotificationsProxy::new(&connection).await?;
            let abilities = proxy.get_capabilities().await?;
            let has = |name| abilities.iter().any(|ability| ability == name);
            zbus::Result::Ok(Server {
                has_actions: has("actions"),
                has_markup: has("body-markup"),
                proxy,
            })
        };
        let server = self.0.get_or_init(async || {
            let connected = connect().await;
            connected
                .inspect_err(|error| tracing::info!("there are no notifications: {error}"))
                .ok()
        });
        server.await.as_ref()
    }

    /// Shows one; none where nothing shows them.
    pub(crate) async fn show(&self, notice: Notice<'_>) -> Option<NoticeId> {
        let server = self.server().await?;
        let mut hints = HashMap::from([
            ("desktop-entry", Value::from("imgn")),
            ("category", Value::from("transfer.complete")),
        ]);
        if let Some(url) = notice
            .picture
            .and_then(|path| url::Url::from_file_path(path).ok())
        {
            hints.insert("image-path", Value::from(String::from(url)));
        }
        let offered = notice.actions.iter().filter(|_| server.has_actions);
        let actions: Vec<&str> = offered.flat_map(|(name, words)| [*name, *words]).collect();
        let body = if server.has_markup {
            escaped(notice.body)
        } else {
            notice.body.to_owned()
        };
        // As long as the desktop has them stay.
        let shown = server.proxy.notify(
            "imgn",
            0,
            "imgn-desktop",
            notice.summary,
            &body,
            &actions,
            hints,
            -1,
        );
        let shown = shown.await;
        let id = shown.inspect_err(|error| tracing::warn!("a notification is not shown: {error}"));
        id.ok().map(NoticeId)
    }

    /// Takes one away.
    pub(crate) async fn close(&self, id: NoticeId) {
        if let Some(server) = self.server().await {
            // It may be gone already.
            let _ = server.proxy.close_notification(id.0).await;
        }
    }

    /// Tells what people do with them, for as long as the session has a server for them.
    pub(crate) async fn listen(&self, mut respond: impl FnMut(Response)) {
        let Some(server) = self.server().await else {
            return;
        };
        let Ok(mut actions) = server.proxy.receive_action_invoked().await else {
            return;
        };
        while let Some(signal) = actions.next().await {
            if let Ok(pressed) = signal.args() {
                respond(Response {
                    id: NoticeId(pressed.id),
                    action: pressed.action_key.to_owned(),
                });
            }
        }
    }
}

/// The body may hold markup; a file name is none.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
