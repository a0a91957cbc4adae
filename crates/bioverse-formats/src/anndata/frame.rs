//! Tables of an AnnData file (`obs`, `var`): their index and columns as JSON values, in windows of rows. Both ways of storing
//! them are known: a group with one dataset a column (since 0.7), and one dataset of records (before).

use serde_json::Value;

use crate::{
    Error, Result,
    hdf5::{Array, Container, Element, Field, Folder, Heap, Node},
};

/// A table.
#[derive(Debug)]
pub(crate) struct Frame {
    container: Container,
    /// Its path in the file.
    name: String,
    /// How many rows it has.
    pub(crate) rows: usize,
    records: Option<(Array, Heap)>,
    index: Column,
    columns: Vec<(String, Column)>,
}

#[derive(Debug)]
enum Column {
    /// Numbers, booleans or text.
    Plain(Array),
    /// Codes of categories; a negative code is a missing value.
    Categorical {
        codes: Array,
        categories: Vec<Value>,
    },
    /// Values of which some are missing.
    Masked { values: Array, mask: Array },
    /// A field of the records.
    Field {
        field: Field,
        categories: Option<Vec<Value>>,
    },
}

/// Columns of a frame, one value a row.
pub(crate) type Columns = Vec<(String, Vec<Value>)>;

impl Frame {
    /// Opens the table `name` of a group; `categories` is where files before 0.7 keep the categories of columns (`uns`).
    pub(crate) fn open(above: &Folder, name: &str, categories: Option<&Folder>) -> Result<Self> {
        match above.get(name)? {
            Some(Node::Folder(folder)) => Self::grouped(&folder),
            Some(Node::Array(array)) => Self::recorded(array, above.container(), categories),
            None => Err(above.container().error(format!(
                "there is no table `{name}`, so this is not an AnnData file; a table of numbers can be made one with \
                 anndata.AnnData(…).write_h5ad(…)"
            ))),
        }
    }

    fn grouped(folder: &Folder) -> Result<Self> {
        let container = folder.container();
        let members = folder.names()?;
        let known = |name: &str| members.iter().any(|member| member == name);
        let index = folder.text("_index").filter(|name| known(name));
        let index = index.or_else(|| {
            let usual = ["_index", "index"].into_iter().find(|name| known(name));
            usual.map(str::to_owned)
        });
        let index = index.ok_or_else(|| {
            container.error(format!(
                "`{}` has no index, so its rows have no names; write the file again with anndata",
                folder.name
            ))
        })?;
        let first = column(folder, &index)?.ok_or_else(|| no_index(container, &folder.name))?;
        let rows = first.rows();
        let order = folder.texts("column-order").unwrap_or_default();
        let rest = members.iter().filter(|name| !order.contains(name));
        let names = order.iter().filter(|name| known(name)).chain(rest);
        let mut columns = vec![];
        for name in names.filter(|name| **name != index && *name != "__categories") {
            let Some(column) = column(folder, name)? else {
                continue;
            };
            if column.rows() != rows {
                return Err(container.error(format!(
                    "column `{}/{name}` has {} rows, but the index {rows}; write the file again",
                    folder.name,
                    column.rows()
                )));
            }
            columns.push((name.clone(), column));
        }
        Ok(Self {
            container: container.clone(),
            name: folder.name.clone(),
            rows,
            records: None,
            index: first,
            columns,
        })
    }

    fn recorded(array: Array, container: &Container, categories: Option<&Folder>) -> Result<Self> {
        let Element::Record { fields, .. } = &array.element else {
            let problem = "should be a table, but is not; write the file again with anndata";
            return Err(array.error(problem));
        };
        let (rows, name) = (array.rows(), array.name.clone());
        let mut columns = vec![];
        for field in fields.iter().filter(|field| field.count == 1) {
            let coded = matches!(&field.element, Element::Number(number) if number.is_integer());
            let categories = match categories.filter(|_| coded) {
                Some(folder) => folder.get(&format!("{}_categories", field.name))?,
                None => None,
            };
            let categories = categories.map(|node| values(&node)).transpose()?;
            let field = field.clone();
            columns.push((field.name.clone(), Column::Field { field, categories }));
        }
        if columns.is_empty() {
            return Err(no_index(container, &name));
        }
        let (_, index) = columns.remove(0);
        Ok(Self {
            container: container.clone(),
            name,
            rows,
            records: Some((array, Heap::open(container)?)),
            index,
            columns,
        })
    }

    /// Names of the columns.
    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// For how many rows to read the columns at once: 1,024, or fewer where rows are long.
    pub(crate) fn step(&self) -> usize {
        const BYTES: usize = 1 << 24;
        let records = self.records.as_ref().map(|(array, _)| array);
        let columns = self.columns.iter().filter_map(|(_, column)| column.array());
        let arrays = records.into_iter().chain(self.index.array()).chain(columns);
        let widest = arrays.map(Array::row_bytes).max().unwrap_or(1);
        (BYTES / widest.max(1)).clamp(1, 1024)
    }

    /// Index and columns of `count` rows from `start`.
    pub(crate) fn read(&mut self, start: usize, count: usize) -> Result<(Vec<String>, Columns)> {
        let records = self.records_at(start, count)?;
        let heap = self.records.as_mut().map(|(_, heap)| heap);
        let mut source = Source {
            start,
            count,
            records,
            heap,
        };
        let index = self.index.read(&mut source)?;
        let mut columns = vec![];
        for (name, column) in &self.columns {
            columns.push((name.clone(), column.read(&mut source)?));
        }
        Ok((index.into_iter().map(shown).collect(), columns))
    }

    /// The whole index.
    pub(crate) fn names(&mut self) -> Result<Vec<String>> {
        Ok(self.column(None)?.into_iter().map(shown).collect())
    }

    /// A whole column as text; missing values stay so. `None` where there is no such column.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<Option<String>>>> {
        if !self.column_names().any(|column| column == name) {
            return Ok(None);
        }
        let text = |value: Value| (!value.is_null()).then(|| shown(value));
        let values = self.column(Some(name))?;
        Ok(Some(values.into_iter().map(text).collect()))
    }

    /// A whole column, or the index.
    pub(crate) fn column(&mut self, name: Option<&str>) -> Result<Vec<Value>> {
        let step = self.step();
        let mut all = vec![];
        while all.len() < self.rows {
            let (start, count) = (all.len(), step.min(self.rows - all.len()));
            let records = self.records_at(start, count)?;
            let named = |(column, _): &&(String, Column)| Some(column.as_str()) == name;
            let column = self.columns.iter().find(named);
            let column = column.map_or(&self.index, |(_, column)| column);
            let mut source = Source {
                start,
                count,
                records,
                heap: self.records.as_mut().map(|(_, heap)| heap),
            };
            all.append(&mut column.read(&mut source)?);
        }
        Ok(all)
    }

    fn records_at(&self, start: usize, count: usize) -> Result<Vec<Vec<u8>>> {
        let Some((array, _)) = &self.records else {
            return Ok(vec![]);
        };
        let raw = array.raw(start, count)?;
        let width = array.row_bytes().max(1);
        Ok(raw.chunks_exact(width).map(<[u8]>::to_vec).collect())
    }

    /// An error about this table.
    pub(crate) fn error(&self, problem: &str) -> Error {
        self.container.error(format!("`{}` {problem}", self.name))
    }
}

/// Where the values of some rows come from.
struct Source<'a> {
    start: usize,
    count: usize,
    records: Vec<Vec<u8>>,
    heap: Option<&'a mut Heap>,
}

impl Column {
    fn array(&self) -> Option<&Array> {
        match self {
            Self::Plain(array)
            | Self::Categorical { codes: array, .. }
            | Self::Masked { values: array, .. } => Some(array),
            Self::Field { .. } => None,
        }
    }

    fn rows(&self) -> usize {
        self.array().map_or(0, Array::rows)
    }

    fn read(&self, source: &mut Source<'_>) -> Result<Vec<Value>> {
        let (start, count) = (source.start, source.count);
        match self {
            Self::Plain(array) => plain(array, start, count),
            Self::Categorical { codes, categories } => {
                let read = codes.integers(start, count)?;
                let named = |code| category(categories, code, || codes.error(NO_CATEGORY));
                read.into_iter().map(named).collect()
            }
            Self::Masked { values, mask } => {
                let missing = mask.integers(start, count)?;
                let all = plain(values, start, count)?.into_iter().zip(missing);
                let seen = all.map(|(value, missing)| match missing {
                    0 => value,
                    _ => Value::Null,
                });
                Ok(seen.collect())
            }
            Self::Field { field, categories } => {
                let records = std::mem::take(&mut source.records);
                let read = records
                    .iter()
                    .map(|record| entry(field, categories.as_deref(), record, source));
                let all = read.collect();
                source.records = records;
                all
            }
        }
    }
}

const NO_CATEGORY: &str = "has a code without a category; write the file again";

fn entry(
    field: &Field,
    categories: Option<&[Value]>,
    record: &[u8],
    source: &mut Source<'_>,
) -> Result<Value> {
    let bytes = field.slice(record).unwrap_or_default();
    match (&field.element, categories, &mut source.heap) {
        (Element::Number(number), Some(categories), _) => {
            // As anndata does, codes that have no category are kept as numbers.
            let code = number.integer(bytes);
            let named = usize::try_from(code).map(|code| categories.get(code).cloned());
            Ok(named.map_or(Value::Null, |named| named.unwrap_or(Value::from(code))))
        }
        (Element::Variable, _, Some(heap)) => heap.text(bytes).map(Value::String),
        (element, _, _) => Ok(element.value(bytes).unwrap_or(Value::Null)),
    }
}

fn category(categories: &[Value], code: i64, wrong: impl Fn() -> Error) -> Result<Value> {
    match usize::try_from(code) {
        Err(_) => Ok(Value::Null),
        Ok(code) => categories.get(code).cloned().ok_or_else(wrong),
    }
}

/// A column of a group; `None` for a kind that has no JSON value (it is left out, with a warning).
fn column(folder: &Folder, name: &str) -> Result<Option<Column>> {
    let left_out = |what: &str| {
        let path = folder.container().path().display();
        tracing::warn!(
            "{path}: column `{}/{name}` is left out: {what}",
            folder.name
        );
        Ok(None)
    };
    match folder.get(name)? {
        Some(Node::Array(array)) => {
            let old = folder.folder("__categories")?;
            let categories = old.map(|old| old.get(name)).transpose()?.flatten();
            if let Some(categories) = categories {
                let categories = values(&categories)?;
                let codes = array;
                return Ok(Some(Column::Categorical { codes, categories }));
            }
            match (&array.element, array.width()) {
                (Element::Record { .. } | Element::Other(_), _) => {
                    left_out(&array.element.describe())
                }
                (_, 1) => Ok(Some(Column::Plain(array))),
                (_, width) => left_out(&format!("it has {width} values a row")),
            }
        }
        Some(Node::Folder(group)) => {
            if let (Some(codes), Some(categories)) =
                (group.array("codes")?, group.get("categories")?)
            {
                let categories = values(&categories)?;
                return Ok(Some(Column::Categorical { codes, categories }));
            }
            match (group.array("values")?, group.array("mask")?) {
                (Some(values), Some(mask)) => Ok(Some(Column::Masked { values, mask })),
                _ => left_out(&format!(
                    "its encoding `{}` is not known",
                    group.text("encoding-type").unwrap_or_default()
                )),
            }
        }
        None => Ok(None),
    }
}

/// All values of a dataset, or of a group with values and a mask.
fn values(node: &Node) -> Result<Vec<Value>> {
    match node {
        Node::Array(array) => array.whole(plain),
        Node::Folder(folder) => {
            let (values, mask) = (folder.required("values")?, folder.required("mask")?);
            let (all, missing) = (values.whole(plain)?, mask.whole(Array::integers)?);
            let pairs = all.into_iter().zip(missing);
            Ok(pairs
                .map(|(value, missing)| if missing == 0 { value } else { Value::Null })
                .collect())
        }
    }
}

fn plain(array: &Array, start: usize, count: usize) -> Result<Vec<Value>> {
    match &array.element {
        Element::Fixed { .. } | Element::Variable => {
            let texts = array.texts(start, count)?;
            Ok(texts.into_iter().map(Value::String).collect())
        }
        element @ (Element::Number(_) | Element::Bool) => {
            let raw = array.raw(start, count)?;
            let all = raw.chunks_exact(element.size().max(1));
            Ok(all
                .map(|bytes| element.value(bytes).unwrap_or(Value::Null))
                .collect())
        }
        other => Err(array.error(&format!(
            "should hold numbers or text, but holds {}",
            other.describe()
        ))),
    }
}

/// A value as text, for names.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn no_index(container: &Container, name: &str) -> Error {
    container.error(format!(
        "the index of `{name}` holds neither text nor numbers; write the file again with anndata"
    ))
}
