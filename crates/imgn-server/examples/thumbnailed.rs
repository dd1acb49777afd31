//! `cargo run --release -p imgn-server --example thumbnailed -- DATA_DIR PICTURES`: serves the gallery of the example
//! `seed` with thumbnails, which that does not have: one of 110 small pictures for each. They are written into the folder
//! PICTURES too. Each has a square of pure magenta, by which it can be told on a screen.
//!
//! Everything else is the server's own, which runs behind it.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use image::{Rgb, RgbImage, codecs::jpeg::JpegEncoder};
use imgn_server::{Config, Server};

const KINDS: u32 = 110;

struct Shared {
    pictures: Vec<Vec<u8>>,
    behind: String,
    client: reqwest::Client,
}

#[tokio::main]
async fn main() -> Result<()> {
    // The client wants one, though it speaks to this computer only. It fails where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let usage = "thumbnailed DATA_DIR PICTURES";
    let (data, folder) = (
        arguments.next().context(usage)?,
        arguments.next().context(usage)?,
    );
    fs::create_dir_all(&folder)?;
    let mut pictures = Vec::new();
    for kind in 0..KINDS {
        let jpeg = picture(kind)?;
        fs::write(folder.join(format!("{kind:03}.jpg")), &jpeg)?;
        pictures.push(jpeg);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let mut config = Config::embedded(data);
    config.listen = "127.0.0.1:0".to_owned();
    config.public_url = Some(url.parse()?);
    let server = Server::start(config).await?;
    let shared = Shared {
        pictures,
        behind: format!("http://{}", server.address()),
        client: reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?,
    };
    let router = Router::new()
        .route("/v1/images/{id}/thumb/{size}", get(thumbnail))
        .fallback(pass_on)
        .with_state(Arc::new(shared));
    #[expect(
        clippy::print_stdout,
        reason = "it says where it listens, as the server does"
    )]
    {
        println!("imgn-server listening on {}", url.trim_end_matches('/'));
    }
    axum::serve(listener, router).await?;
    server.shutdown().await;
    Ok(())
}

async fn thumbnail(
    State(shared): State<Arc<Shared>>,
    Path((id, _)): Path<(String, String)>,
) -> Response {
    let kind = id.bytes().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    match shared.pictures.get(kind % shared.pictures.len().max(1)) {
        Some(jpeg) => ([(header::CONTENT_TYPE, "image/jpeg")], jpeg.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let passed = shared
        .client
        .request(request.method().clone(), format!("{}{path}", shared.behind))
        .headers(headers)
        .body(reqwest::Body::wrap_stream(
            request.into_body().into_data_stream(),
        ));
    let Ok(answer) = passed.send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.extend(answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
    }
    response
        .body(Body::from_stream(answer.bytes_stream()))
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

/// Soft colours with a little noise, about as many bytes as a photograph's thumbnail has.
fn picture(kind: u32) -> Result<Vec<u8>> {
    let mut state = kind.wrapping_mul(2_654_435_761) | 1;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 29
    };
    let picture = RgbImage::from_fn(320, 213 + kind % 60, |x, y| {
        if (20..60).contains(&x) && (20..60).contains(&y) {
            return Rgb([255, 0, 255]);
        }
        // Of values below 256.
        let shade = |from: u32, of: u32| ((from + of) % 200) as u8;
        let grain = noise();
        Rgb([
            shade(kind * 7, x / 3 + grain),
            shade(kind * 13, y / 2 + grain),
            shade(kind * 29, (x + y) / 4 + grain),
        ])
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80).encode_image(&picture)?;
    Ok(jpeg)
}
