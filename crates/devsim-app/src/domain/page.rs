//! Pages of a list.

use serde::Serialize;

/// The page that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRequest {
    page: i64,
    per_page: i64,
}

/// Why a page cannot be asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be an integer of at most 64 bits")]
pub(crate) struct InvalidPage {
    name: &'static str,
}

impl PageRequest {
    const DEFAULT_PER_PAGE: i64 = 20;
    const MAX_PER_PAGE: i64 = 100;

    /// Reads the parameters `page` and `per_page`, absent ones being 1 and 20.
    pub(crate) fn parse(page: Option<&str>, per_page: Option<&str>) -> Result<Self, InvalidPage> {
        let page = page.map_or(Some(1), integer).ok_or(InvalidPage { name: "page" })?;
        let per_page =
            per_page.map_or(Some(Self::DEFAULT_PER_PAGE), integer).ok_or(InvalidPage { name: "per_page" })?;
        Ok(Self { page: page.max(1), per_page: per_page.clamp(1, Self::MAX_PER_PAGE) })
    }

    pub(crate) fn limit(self) -> i64 {
        self.per_page
    }

    /// Items before the page; a page far beyond every list saturates, which is beyond every list too.
    pub(crate) fn offset(self) -> i64 {
        (self.page - 1).saturating_mul(self.per_page)
    }
}

/// `i64::from_str` without the leading `+` that it takes.
fn integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// One page of a list, as the client gets it.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
struct Pagination {
    page: i64,
    per_page: i64,
    total: i64,
    pages: i64,
    has_prev: bool,
    has_next: bool,
    prev_num: Option<i64>,
    next_num: Option<i64>,
}

impl<T> Page<T> {
    pub(crate) fn new(request: PageRequest, items: Vec<T>, total: i64) -> Self {
        let PageRequest { page, per_page } = request;
        let pages = (total.saturating_add(per_page - 1) / per_page).max(1);
        let (has_prev, has_next) = (page > 1, page < pages);
        let pagination = Pagination {
            page,
            per_page,
            total,
            pages,
            has_prev,
            has_next,
            prev_num: has_prev.then(|| page - 1),
            next_num: has_next.then(|| page + 1),
        };
        Self { items, pagination }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_clamped_or_refused() {
        let asked = |page, per_page| PageRequest::parse(page, per_page).ok().map(|p| (p.page, p.per_page));
        assert_eq!(asked(None, None), Some((1, 20)));
        assert_eq!(asked(Some("-3"), Some("0")), Some((1, 1)));
        assert_eq!(asked(Some("7"), Some("1000")), Some((7, 100)));
        for wrong in ["", "x", "1.0", "+5", " 5", "5 ", "0x5", "9223372036854775808", "٣"] {
            assert_eq!(asked(Some(wrong), None), None, "{wrong:?}");
            assert_eq!(asked(None, Some(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let numbers = |page, total| {
            let request = PageRequest { page, per_page: 10 };
            let p = Page::<()>::new(request, Vec::new(), total).pagination;
            (p.pages, p.prev_num, p.next_num)
        };
        assert_eq!(numbers(1, 0), (1, None, None));
        assert_eq!(numbers(1, 10), (1, None, None));
        assert_eq!(numbers(1, 11), (2, None, Some(2)));
        assert_eq!(numbers(2, 11), (2, Some(1), None));
        assert_eq!(numbers(9, 11), (2, Some(8), None), "past the end");
        assert_eq!(PageRequest { page: i64::MAX, per_page: 100 }.offset(), i64::MAX);
    }
}
