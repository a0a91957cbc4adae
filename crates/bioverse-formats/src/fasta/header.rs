//! Header lines: the name, the rest, and the fields that UniProt writes into them.
//!
//! UniProt's form is `db|accession|entry_name protein name OS=organism OX=taxon [GN=gene] PE=… SV=…`
//! (<https://www.uniprot.org/help/fasta-headers>).

/// What follows the first word.
pub(super) fn description(header: &str) -> &str {
    let rest = header.split_once(char::is_whitespace);
    rest.map_or("", |(_, rest)| rest.trim())
}

/// The fields of a header in UniProt's form; none of any other.
pub(super) fn uniprot(header: &str) -> Vec<(&'static str, &str)> {
    let id = header.split_whitespace().next().unwrap_or_default();
    let parts: Vec<&str> = id.split('|').collect();
    let (accession, entry_name) = match parts.as_slice() {
        ["sp" | "tr", accession, entry_name] if !accession.is_empty() => (*accession, *entry_name),
        _ => return vec![],
    };
    let mut fields = vec![("accession", accession), ("entry_name", entry_name)];
    let description = description(header);
    for (key, field) in [("OS=", "organism"), ("GN=", "gene")] {
        fields.extend(tagged(description, key).map(|value| (field, value)));
    }
    fields
}

/// The value behind ` KEY=`, up to the next such key.
fn tagged<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    let mut places = description.match_indices(key);
    let (at, _) = places.find(|(at, _)| {
        *at == 0
            || description
                .get(..*at)
                .is_some_and(|before| before.ends_with(' '))
    })?;
    let value = description.get(at + key.len()..)?;
    let is_key = |word: &str| {
        let key = word.split_once('=').map(|(key, _)| key);
        key.is_some_and(|key| key.len() == 2 && key.bytes().all(|byte| byte.is_ascii_uppercase()))
    };
    let end = value
        .match_indices(' ')
        .map(|(at, _)| at)
        .find(|at| value.get(at + 1..).is_some_and(is_key));
    let value = value.get(..end.unwrap_or(value.len()))?.trim();
    (!value.is_empty()).then_some(value)
}
