//! Reads a directory of documents, and says of each in a line what it makes of it: the name, and the answer.
use std::{env, error::Error, fs, path::Path};

use spiffe::{JwtBundle, JwtBundleSet, JwtSvid, TrustDomain, X509Bundle, X509Svid};

type Answer = Result<String, Box<dyn Error>>;

fn say(name: &str, answer: Answer) {
    match answer {
        Ok(text) => println!("{name}\t{text}"),
        Err(error) => {
            println!("{name}\trefused");
            eprintln!("{name}: {error}");
        }
    }
}

fn roots(dir: &Path, acme: &TrustDomain) -> Answer {
    let bundle = X509Bundle::parse_from_der(acme.clone(), &fs::read(dir.join("roots.der"))?)?;
    Ok(bundle.authorities().len().to_string())
}

fn svid(dir: &Path) -> Answer {
    let svid = X509Svid::parse_from_der(&fs::read(dir.join("svid.der"))?, &fs::read(dir.join("key.der"))?)?;
    Ok(svid.spiffe_id().to_string())
}

fn keys(dir: &Path, acme: &TrustDomain, file: &str) -> Result<JwtBundle, Box<dyn Error>> {
    Ok(JwtBundle::from_jwt_authorities(acme.clone(), &fs::read(dir.join(file))?)?)
}

fn token(dir: &Path, acme: &TrustDomain, name: &str) -> Answer {
    let text = fs::read_to_string(dir.join(format!("{name}.jwt")))?;
    let mut bundles = JwtBundleSet::new();
    bundles.add_bundle(keys(dir, acme, "jwks.json")?);
    let svid = JwtSvid::parse_and_validate(&text, &bundles, &["acme.example"])?;
    Ok(svid.spiffe_id().to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    let place = env::args().nth(1).ok_or("want a directory")?;
    let (dir, acme) = (Path::new(&place), TrustDomain::new("acme.example")?);
    say("roots.der", roots(dir, &acme));
    say("svid", svid(dir));
    for file in ["jwks.json", "bundle.json"] {
        say(file, keys(dir, &acme, file).map(|b| b.jwt_authorities().count().to_string()));
    }
    for name in ["good", "another audience", "expired", "unknown key", "not ours"] {
        say(name, token(dir, &acme, name));
    }
    Ok(())
}
