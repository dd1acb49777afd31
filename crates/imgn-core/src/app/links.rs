//! Commands that give out links, and what was chosen for life beside other programs.

use imgn_protocol::{FileName, Image, ImageId, Sha256, Timestamp};

use super::App;
use crate::{
    ClientCode, CommandError, DesktopSettings, LinkFormat, LinkPreferences, LinkSettings, link,
    links as links_to,
};

/// A template is no longer, in bytes: one of a screenful is none that a person wrote.
const TEMPLATE_BYTES: usize = 4096;

/// Links that are made at once at most; each picture may have to be asked for.
const LINKS: usize = 500;

impl App {
    /// What was chosen for life beside other programs.
    pub async fn desktop_settings(&self) -> DesktopSettings {
        self.0.settings.lock().await.desktop.clone()
    }

    /// Keeps what was chosen for life beside other programs. Whoever does what it says checks it.
    ///
    /// # Errors
    /// When the settings cannot be written.
    pub async fn keep_desktop_settings(
        &self,
        change: impl FnOnce(&mut DesktopSettings) + Send + 'static,
    ) -> Result<(), CommandError> {
        self.change_settings(move |settings| change(&mut settings.desktop))
            .await
    }

    /// What was chosen for links.
    pub async fn link_settings(&self) -> LinkSettings {
        self.0.settings.lock().await.links.clone()
    }

    /// The same, as it is shown.
    pub async fn link_preferences(&self) -> LinkPreferences {
        let LinkSettings { format, copy } = self.link_settings().await;
        let format = format.to_string();
        LinkPreferences { format, copy }
    }

    /// Chooses for links, from the next one on.
    ///
    /// # Errors
    /// When the format is none, or the settings cannot be written.
    pub async fn set_link_preferences(
        &self,
        preferences: LinkPreferences,
    ) -> Result<(), CommandError> {
        let LinkPreferences { format, copy } = preferences;
        let format = parse(&format)?;
        let chosen = LinkSettings { format, copy };
        self.change_settings(move |settings| settings.links = chosen)
            .await
    }

    /// The links to these pictures, a line each, in the format that is named or else the chosen one. What stands for
    /// the pictures where they cannot be seen is `alt`, or else their names.
    ///
    /// # Errors
    /// When the format is none, there are too many, or one of them is not known.
    pub async fn links(
        &self,
        ids: &[ImageId],
        format: Option<&str>,
        alt: Option<&str>,
    ) -> Result<String, CommandError> {
        if ids.len() > LINKS {
            let message = format!("at most {LINKS} links are made at once; choose fewer pictures");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        let format = match format {
            Some(text) => parse(text)?,
            None => self.link_settings().await.format,
        };
        let mut images: Vec<Image> = Vec::with_capacity(ids.len());
        for &id in ids {
            images.push(self.image(id).await?);
        }
        Ok(links_to(&images, alt, &format))
    }

    /// What a format makes of a picture that is none, so that a person sees what it is.
    ///
    /// # Errors
    /// When the format is none.
    pub fn link_example(format: &str) -> Result<String, CommandError> {
        let example = Image {
            id: ImageId::from(uuid::Uuid::nil()),
            sequence: 1,
            file_name: FileName::clean("Sea [1].jpg"),
            width: 1600,
            height: 1200,
            content_type: "image/jpeg".to_owned(),
            size: 400_000,
            sha256: Sha256::of(b""),
            thumbhash: String::new(),
            animated: false,
            taken_at: None,
            created_at: Timestamp::now(),
            camera: None,
            lens: None,
            exposure: None,
            location: None,
            owner: String::new(),
            url: "https://gallery.example/1".to_owned(),
            display_url: None,
        };
        Ok(link(&example, None, &parse(format)?))
    }
}

fn parse(text: &str) -> Result<LinkFormat, CommandError> {
    let invalid = |message: String| CommandError::new(ClientCode::InvalidInput, message);
    if text.len() > TEMPLATE_BYTES {
        let message = format!("a template for links has at most {TEMPLATE_BYTES} bytes");
        return Err(invalid(message));
    }
    text.parse()
        .map_err(|error: crate::InvalidFormat| invalid(error.to_string()))
}
