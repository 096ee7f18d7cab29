//! reqwest: the base URL comes from the environment, as for any other client.

use std::env;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let (base, key) = (env::var("INSTANTLY_BASE_URL")?, env::var("INSTANTLY_API_KEY")?);
    let client = reqwest::blocking::Client::new();
    for _ in 0..2 {
        let request = client.get(format!("{base}/api/v2/lead-labels?limit=100"));
        let answer = request.bearer_auth(&key).send()?.error_for_status()?;
        println!("{}", answer.headers()["cache-status"].to_str()?);
    }
    Ok(())
}
