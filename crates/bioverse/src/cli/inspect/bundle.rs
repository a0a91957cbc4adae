//! Bundles: what was trained, on what, and whether those models are still the same.

use bioverse_core::Registry;

use super::{Findings, model};
use crate::{Bundle, bundle::Identity, cache::Cache};

/// A bundle.
pub fn look(bundle: &Bundle, registry: &Registry, findings: &mut Findings) {
    let manifest = &bundle.manifest;
    findings.fact("bundle", bundle.dir.display());
    findings.fact(
        "written by",
        format!("bioverse {}, format {}", manifest.bioverse, manifest.format),
    );
    findings.fact(
        "stage",
        match &manifest.lora {
            Some(lora) => format!(
                "2 (projectors and a LoRA of rank {} on {})",
                lora.r,
                lora.target_modules.join(", ")
            ),
            None => "1 (projectors only)".to_string(),
        },
    );
    identity(findings, "llm", &manifest.llm);
    identity(findings, "tokenizer", &manifest.tokenizer);
    for (name, entry) in &manifest.modalities {
        findings.fact(
            "modality",
            format!(
                "{name}: {} wide encoder to {} wide LLM",
                entry.d_hidden, manifest.d_model
            ),
        );
        identity(findings, "encoder", &entry.encoder);
        if !crate::encoders::is_known(registry, name, &entry.config) {
            findings.problem(format!(
                "modality `{name}` is not registered in this program (registered: {})",
                registry.names().join(", ")
            ));
        }
        let projector = bundle.dir.join(format!("projectors/{name}.safetensors"));
        if let Err(error) = model::weights(&projector, findings) {
            findings.problem(error.to_string());
        }
    }
    if let Some(dir) = bundle.adapter_dir()
        && let Err(error) = model::adapter(&dir, findings)
    {
        findings.problem(error.to_string());
    }
    if let Err(error) = bundle.verify(registry, &Cache::off()) {
        findings.problem(error.to_string());
    }
}

fn identity(findings: &mut Findings, name: &str, identity: &Identity) {
    findings.fact(name, identity.path.display());
    if let Some(source) = &identity.source {
        findings.lines.push(format!("  from {source}"));
    }
    for (file, hash) in &identity.files {
        let short: String = hash.chars().take(16).collect();
        findings.lines.push(format!("  {file:<24} sha256 {short}…"));
    }
}
