//! Sorting and paging of tables, by links.

use std::ops::Range;

use maud::{Markup, html};

use crate::view::View;

/// Column and direction of a sorted table, from the parameters `sort` and `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    key: &'static str,
    is_descending: bool,
}

impl Sort {
    /// Returns the sort order that a request selects. `keys` lists the columns, and whether the
    /// first click sorts each in descending order; the first column is the default.
    pub fn of(view: &View, keys: &[(&'static str, bool)]) -> Self {
        let column = keys.iter().find(|(key, _)| view.param("sort") == Some(key));
        let (key, first) = column.or(keys.first()).copied().unwrap_or(("", false));
        let is_descending = match view.param("order") {
            Some("asc") => false,
            Some("desc") => true,
            _ => first,
        };
        Self { key, is_descending }
    }

    /// Returns the key of the sorted column.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// Reorders rows from ascending order to the requested order.
    pub fn apply<T>(&self, rows: &mut [T]) {
        if self.is_descending {
            rows.reverse();
        }
    }

    /// Renders the header cell of a column that sorts the table. `class` is the cell's class, such
    /// as `num`.
    pub fn header(&self, view: &View, key: &str, label: &str, class: &str) -> Markup {
        let is_current = self.key == key;
        let (state, order) = match (is_current, self.is_descending) {
            (true, true) => (Some("descending"), "asc"),
            (true, false) => (Some("ascending"), "desc"),
            (false, _) => (None, ""),
        };
        html! {
            th scope="col" class=(class) aria-sort=[state] {
                a href=(view.href_with(&[("sort", key), ("order", order), ("page", "")])) {
                    (label)
                    @if is_current { span.arrow aria-hidden="true" { @if self.is_descending { " ↓" } @else { " ↑" } } }
                }
            }
        }
    }
}

/// One page of a long table, selected by a query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    parameter: &'static str,
    page: usize,
    per_page: usize,
    total: usize,
}

impl Paging {
    /// Returns the requested page. Pages are numbered from 1; a number beyond the last page selects
    /// the last page.
    pub fn of(view: &View, parameter: &'static str, per_page: usize, total: usize) -> Self {
        let paging = Self { parameter, page: 1, per_page: per_page.max(1), total };
        Self { page: view.number(parameter).unwrap_or(1).clamp(1, paging.pages()), ..paging }
    }

    fn pages(&self) -> usize {
        self.total.div_ceil(self.per_page).max(1)
    }

    /// Returns the index range of the page's rows.
    pub fn range(&self) -> Range<usize> {
        let start = (self.page - 1) * self.per_page;
        start..(start + self.per_page).min(self.total)
    }

    /// Returns the page's rows.
    pub fn slice<'a, T>(&self, rows: &'a [T]) -> &'a [T] {
        rows.get(self.range()).unwrap_or_default()
    }

    /// Renders links to the other pages; empty if there is only one page. `noun` names the rows.
    pub fn links(&self, view: &View, noun: &str) -> Markup {
        let (pages, range) = (self.pages(), self.range());
        html! {
            @if pages > 1 {
                nav.pages aria-label={ "Pages of " (noun) } {
                    @if self.page > 1 {
                        (self.link(view, 1, "First"))
                        (self.link(view, self.page - 1, "Previous"))
                    }
                    span { (range.start + 1) "–" (range.end) " of " (self.total) " " (noun) }
                    @if self.page < pages {
                        (self.link(view, self.page + 1, "Next"))
                        (self.link(view, pages, "Last"))
                    }
                }
            }
        }
    }

    fn link(&self, view: &View, page: usize, label: &str) -> Markup {
        html! { a href=(view.href_with(&[(self.parameter, &page.to_string())])) { (label) } }
    }
}
