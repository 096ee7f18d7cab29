"""What would make every figure wrong without a sign: the reading of sources, tried on what is hard to read."""

import circles
import rust
import tree
import walk
from names import Names

LEXED = r'''
fn f<'a>(x: &'a str) -> char { /* { /* nested */ " */ let _ = "a \" } // no comment"; '\'' } // '}'
#[cfg(test)] #[path = "x.rs"] mod tests;
#[cfg(test)] fn gone(only: bool) { r#"}"#; }
#[cfg(not(test))] fn stays() { let r = br##"
"# {
"##; let c = b'{'; }
'''

TREE = {
    "src/lib.rs": "pub mod proxy; mod fetch; mod leaf;",
    "src/leaf.rs": "use crate::fetch::Fetcher; pub fn through(fetcher: &Fetcher) { fetcher.last(); }",
    "src/proxy/mod.rs": """
        mod side; use std::sync::Arc; use crate::fetch::{Fetcher, Got}; use self::side::Side;
        pub struct Worker { fetcher: Arc<Fetcher>, side: Side }
        impl Worker {
            pub async fn handle(&self) {
                if self.side.refuses() { return self.never(); }
                let found = match self.fetcher.get(|| self.side.begin()).await {
                    Some(Got::Whole(side)) => side,
                    _ => return,
                };
                found.end();
                crate::leaf::through(&self.fetcher);
            }
            fn never(&self) {}
        }""",
    "src/proxy/side.rs": """
        pub struct Side;
        impl Side { pub fn refuses(&self) -> bool { true } pub fn begin(&self) {} pub fn end(&self) {} }""",
    "src/fetch.rs": """
        use crate::proxy::Worker; pub use crate::leaf::through;
        pub struct Fetcher(pub Vec<u8>); pub enum Got { Whole(crate::proxy::side::Side) }
        impl Fetcher { pub async fn get(&self, f: impl Fn()) -> Option<Got> { None } pub fn last(&self) {} }
        #[cfg(test)] mod tests { #[test] fn a_promise() {} #[tokio::test(start_paused = true)] async fn another() {}
            #[test] #[ignore] fn no_promise() {} fn helper() {} }""",
}


def main():
    tokens, modules = rust.split_tests(rust.tokens_of(LEXED))
    assert [function.name for function in rust.functions(tokens)] == ["f", "stays"]
    assert modules == ["tests"]
    assert rust.code_lines(tokens) == {2, 5, 6, 7}, rust.code_lines(tokens)

    crate = tree.Crate(TREE, "src/lib.rs")
    entered = walk.walk(Names(crate), walk.NotTaken("Worker::never"))
    told = [owned.name for owned, _ in entered]
    made = "Worker::handle Side::refuses Side::begin Fetcher::get Side::end through Fetcher::last"
    assert told == made.split(), told
    assert walk.figures(entered, ["proxy"]) == (2, 1, 0)
    assert walk.figures(entered, ["proxy", "fetch"]) == (3, 4, 2)

    found = circles.circles(circles.edges(crate))
    assert found == [["src/fetch.rs", "src/leaf.rs", "src/proxy/mod.rs"]], found
    tests = [name for module in crate.modules.values() for name in rust.test_names(module.all_tokens)]
    assert tests == ["a_promise", "another"], tests


main()
