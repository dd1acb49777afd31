//! What the function's role in `deploy/aws/template.yaml` allows, held against all that is asked of the store.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    lambda::Gateway,
    pictures,
    process::eventually,
    proxy::{Fate, FaultProxy, Seen},
    seaweedfs::SeaweedFs,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Cloud, ONE_STORE, bytes_of, request};
use crate::{api::sha256, driver::PATIENCE};

/// The role but for the statements about pictures: who takes it on, AWS's own policy for a function in a network, and the
/// catalogue's file system.
const OTHERWISE: &str = r#"
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              Service: lambda.amazonaws.com
            Action: sts:AssumeRole
      ManagedPolicyArns:
        - !Sub "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
      Policies:
        - PolicyName: pictures
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
        - PolicyName: catalogue
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action:
                  - elasticfilesystem:ClientMount
                  - elasticfilesystem:ClientWrite
                Resource: !GetAtt Catalogue.Arn
                Condition:
                  StringEquals:
                    elasticfilesystem:AccessPointArn: !GetAtt CatalogueAccess.Arn
"#;

/// What a request to S3 needs of a role: an action, and the keys' first word; nothing for requests on the bucket. A form
/// that is posted has its key among its fields.
fn permission(
    seen: &Seen,
    bucket: &str,
    form_key: &str,
) -> Result<BTreeSet<(&'static str, String)>> {
    let path = seen.path.trim_start_matches('/');
    let key = path
        .strip_prefix(bucket)
        .context("the bucket")?
        .trim_start_matches('/');
    let is_form = seen.method == "POST" && key.is_empty() && seen.parameters.is_empty();
    let key = if is_form { form_key } else { key };
    let has = |name: &str| seen.parameters.contains_key(name);
    let action = match (seen.method.as_str(), key.is_empty()) {
        ("HEAD", true) => "s3:ListBucket",
        ("GET", true) if has("uploads") => "s3:ListBucketMultipartUploads",
        ("GET", false) if has("uploadId") => "s3:ListMultipartUploadParts",
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("DELETE", false) if has("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", false) => "s3:DeleteObject",
        ("PUT" | "POST", false) => "s3:PutObject",
        _ => anyhow::bail!("no action is known for {seen:?}"),
    };
    let place = |key: &str| key.split('/').next().unwrap_or_default().to_owned();
    let mut needed = BTreeSet::from([(action, place(key))]);
    if let Some(source) = &seen.copy_source {
        // What is copied is read.
        let source = source.trim_start_matches('/').strip_prefix(bucket);
        let source = source.context("the bucket")?.trim_start_matches('/');
        needed.insert(("s3:GetObject", place(source)));
    }
    Ok(needed)
}

/// What the function's role in the template allows, as [`permission`] says it. All of the role is read: what is not known
/// here is an error.
fn allowed() -> Result<BTreeSet<(&'static str, String)>> {
    let template = include_str!("../../../deploy/aws/template.yaml");
    let lines = || {
        let is_comment = |line: &&str| line.is_empty() || line.trim_start().starts_with('#');
        template.lines().filter(move |line| !is_comment(line))
    };
    let count = |wanted: &str| lines().filter(|line| line.contains(wanted)).count();
    ensure!(count("AWS::IAM::") == 1, "there is one role and no policy");
    ensure!(
        count("AWS::Serverless::Function") == 1 && count("Role: ") == 1,
        "the function has this role"
    );
    ensure!(count("Role: !GetAtt FunctionRole.Arn") == 1);
    ensure!(count(" Policies:") == 1, "SAM adds no policy to it");
    let role = lines()
        .skip_while(|line| *line != "  FunctionRole:")
        .skip(1)
        .take_while(|line| line.starts_with("   "));

    const STATEMENT: &str = "              - Sid: ";
    let (mut otherwise, mut statements) = (String::from("\n"), Vec::<Vec<&str>>::new());
    let mut is_about_pictures = false;
    for line in role {
        // A statement ends where less far to the right something else begins.
        is_about_pictures &= line.starts_with("               ");
        if line.starts_with(STATEMENT) {
            is_about_pictures = true;
            statements.push(Vec::new());
        } else if let (true, Some(statement)) = (is_about_pictures, statements.last_mut()) {
            statement.push(line.trim());
        } else {
            otherwise.extend([line, "\n"]);
        }
    }
    ensure!(otherwise == OTHERWISE, "the role is another:{otherwise}");

    let mut allowed = BTreeSet::new();
    for statement in statements {
        let ["Effect: Allow", "Action:", actions @ .., resource] = &statement[..] else {
            anyhow::bail!("another statement than is known here: {statement:?}");
        };
        let place = resource
            .strip_prefix("Resource: !Sub \"arn:${AWS::Partition}:s3:::${BucketName}")
            .and_then(|place| place.strip_suffix('"'))
            .with_context(|| format!("another resource than is known here: {resource}"))?;
        let place = match place {
            "" => "",
            place => place
                .strip_prefix('/')
                .and_then(|place| place.strip_suffix("/*"))
                .with_context(|| format!("another place than a prefix: {place}"))?,
        };
        for action in actions {
            let action = action
                .strip_prefix("- ")
                .filter(|action| action.starts_with("s3:"))
                .with_context(|| format!("another action than is known here: {action}"))?;
            allowed.insert((action, place.to_owned()));
        }
    }
    Ok(allowed)
}

/// The sweeper finds the one picture that is expected.
async fn taken_up(cloud: &mut Cloud) -> Result<()> {
    eventually("it is taken up", PATIENCE, async || {
        let swept = cloud.invoke(&json!({"source": "aws.events"})).await?;
        Ok((swept["verifying"] == 1).then_some(()))
    })
    .await
}

/// The function's role in the template allows each request to the store that is seen here, of the function and by the URLs
/// that it signs, and each of its actions is needed at each of its places.
#[tokio::test]
async fn the_role_allows_what_is_done_and_nothing_else() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = seen.clone();
    let proxy = FaultProxy::start(store.target().host()?, move |request: &Seen| {
        noted.lock().unwrap().push(request.clone());
        Fate::Pass
    })
    .await?;
    let mut target = store.target().clone();
    target.endpoint = proxy.url();
    let mut cloud = Cloud::start(directory.path(), &target).await?;
    let gateway = Gateway::Http;

    // A picture by our own client, which is then deleted.
    let picture = pictures::jpeg(500, 60);
    let path = cloud.open(gateway, &picture).await?;
    let content = bytes_of("PUT", &format!("{path}/content"), "image/jpeg", &picture);
    ensure!(cloud.call(gateway, content).await?.status == 200);
    let complete = format!("{path}/complete");
    let published = cloud
        .json(gateway, "POST", &complete, json!({"parts": []}))
        .await?;
    ensure!(cloud.original(gateway, &published["image"]).await? == picture);
    let id = published["image"]["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    let thumb = request("GET", &format!("/v1/images/{id}/thumb/320"), Value::Null);
    ensure!(cloud.call(gateway, thumb).await?.status == 200);
    let deleted = cloud
        .call(
            gateway,
            request("DELETE", &format!("/v1/images/{id}"), Value::Null),
        )
        .await?;
    ensure!(deleted.status == 204, "{deleted:?}");

    // What our own clients send in parts, which asks the store first what it checks.
    let large = json!({"file_name": "a.jpg", "size": 40_000_000, "sha256": sha256(b"never sent")});
    let path = format!("/v1/uploads/{}", Uuid::now_v7());
    let opened = cloud.json(gateway, "PUT", &path, large).await?;
    ensure!(opened["mode"] == "multipart", "{opened}");
    ensure!(
        cloud
            .call(gateway, request("DELETE", &path, Value::Null))
            .await?
            .status
            == 204
    );

    // Uppy's parts: put together, and given up.
    for is_completed in [true, false] {
        let made = cloud
            .json(
                gateway,
                "POST",
                "/s3/multipart",
                json!({"filename": "a.jpg"}),
            )
            .await?;
        let (id, key) = (
            made["uploadId"].as_str().context("id")?,
            made["key"].as_str().context("key")?,
        );
        let part = cloud
            .json(
                gateway,
                "GET",
                &format!("/s3/multipart/{id}/1?key={key}"),
                Value::Null,
            )
            .await?;
        let sent = cloud
            .http
            .put(part["url"].as_str().context("url")?)
            .body(pictures::jpeg(501, 60));
        let sent = sent.send().await?.error_for_status()?;
        let etag = sent.headers()["etag"]
            .to_str()?
            .trim_matches('"')
            .to_owned();
        if is_completed {
            let parts = json!({"parts": [{"PartNumber": 1, "ETag": etag}]});
            cloud
                .json(
                    gateway,
                    "POST",
                    &format!("/s3/multipart/{id}/complete?key={key}"),
                    parts,
                )
                .await?;
        } else {
            let path = format!("/s3/multipart/{id}?key={key}");
            ensure!(
                cloud
                    .call(gateway, request("DELETE", &path, Value::Null))
                    .await?
                    .status
                    == 200
            );
        }
    }

    // A page of 2018, and the sweeper.
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n\r\n--x--\r\n";
    let form = bytes_of("POST", "/upload", "multipart/form-data; boundary=x", form);
    let url = String::from_utf8(cloud.call(gateway, form).await?.body)?;
    cloud
        .http
        .put(&url)
        .body(pictures::jpeg(502, 60))
        .send()
        .await?
        .error_for_status()?;
    taken_up(&mut cloud).await?;

    // Uppy's form.
    let form = "/s3/params?filename=a.jpg&type=image/jpeg";
    let form = cloud.json(gateway, "GET", form, Value::Null).await?;
    let fields = form["fields"].as_object().context("fields")?;
    let mut body = Vec::new();
    for (name, value) in fields {
        let value = value.as_str().context("a field")?;
        let field =
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(field.into_bytes());
    }
    body.extend(b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n");
    body.extend(b"Content-Type: image/jpeg\r\n\r\n");
    body.extend(pictures::jpeg(503, 60));
    body.extend(b"\r\n--x--\r\n");
    let posted = cloud
        .http
        .post(form["url"].as_str().context("a URL")?)
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body);
    let status = posted.send().await?.status();
    ensure!(status.is_success(), "{status}");
    taken_up(&mut cloud).await?;
    let form_key = fields["key"].as_str().context("a key")?;

    let ready = cloud
        .call(gateway, request("GET", "/readyz", Value::Null))
        .await?;
    ensure!(ready.status == 200, "{ready:?}");

    let mut needed = BTreeSet::new();
    for request in seen.lock().unwrap().iter() {
        needed.extend(permission(request, &target.bucket, form_key)?);
    }
    let allowed = allowed()?;
    let difference = |one: &BTreeSet<_>, other: &BTreeSet<_>| -> Vec<(&str, String)> {
        one.difference(other).cloned().collect()
    };
    let (missing, vain) = (difference(&needed, &allowed), difference(&allowed, &needed));
    ensure!(missing.is_empty(), "done and not allowed: {missing:?}");
    ensure!(vain.is_empty(), "allowed and not needed: {vain:?}");
    Ok(())
}
