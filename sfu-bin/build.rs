//! Rebuilds the binary when the demo was built anew: rust-embed alone notices changed files, not new ones.

fn main() {
    println!("cargo::rerun-if-changed=../sdk-js/demo/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
