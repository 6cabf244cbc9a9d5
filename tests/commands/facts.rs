//! The facts about commands that live servers have told, a file each: see `tests/it/commands.rs`.

/// The files: the server, and a line for each of its commands.
pub(crate) const FILES: [(&str, &str); 5] = [
    ("Redis 7.0", include_str!("redis-7.0.txt")),
    ("Redis 7.4", include_str!("redis-7.4.txt")),
    ("Redis 8.2", include_str!("redis-8.2.txt")),
    ("Redis 8.10", include_str!("redis-8.10.txt")),
    ("Valkey 9.1", include_str!("valkey-9.1.txt")),
];

/// One command as a server tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fact<'a> {
    pub(crate) name: &'a str,
    flags: &'a str,
    categories: &'a str,
}

impl<'a> Fact<'a> {
    /// Reads one line.
    pub(crate) fn read(line: &'a str) -> Self {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, _arity, flags, _keys, categories] = fields[..] else { panic!("{line:?}") };
        Self { name, flags, categories }
    }

    /// Whether it has this flag, or with `@` this ACL category.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.flags.split(',').chain(self.categories.split(',')).any(|own| own == word)
    }
}

/// Every command of every file. One that several servers know is there several times.
pub(crate) fn all() -> impl Iterator<Item = Fact<'static>> {
    FILES.iter().flat_map(|(_, file)| file.lines()).map(Fact::read)
}
