"""Typesets price-list.pdf, the spare parts price list: one table over two pages, then the terms."""

from __future__ import annotations

from pathlib import Path

from reportlab.platypus import Flowable, NextPageTemplate

from example_corpus.facts import PARTS
from example_corpus.layout import Document, bullets, callout, chapter, grid, section, text


def build(path: Path) -> None:
    """Write the price list."""
    document = Document(
        path,
        title="Larkwind spare parts - Price list 2026",
        number="PL-EN-2026, valid from 1 January 2026",
        subject="Spare parts and accessories for Larkwind 150 and Larkwind 300",
    )
    document.pageTemplates.sort(key=lambda template: template.id != "plain")
    story: list[Flowable] = [
        NextPageTemplate("plain"),
        chapter("Spare parts price list 2026"),
        text(
            "Prices are in euro without value added tax, for one piece or one set, and are valid from 1 "
            "January to 31 December 2026. The column <b>Fits</b> names the models: many parts of the "
            "Larkwind 150 and the Larkwind 300 look alike but cannot be exchanged for each other."
        ),
        *grid(
            [
                ("Part no.", "Description", "Fits", "Price (EUR)", "Delivery"),
                *(
                    (number, what, f"Larkwind {fits}", price, delivery)
                    for number, what, fits, price, delivery in PARTS
                ),
            ],
            (22, 68, 34, 24, 22),
            "Table 1: Spare parts and accessories",
        ),
        section("Terms of delivery"),
        *bullets(
            "Shipping costs a flat 6.90 euro for parcels. Orders above 200 euro are delivered free of "
            "charge.",
            "Fans, exchangers and doors travel as bulky goods; the surcharge is 18.50 euro for each "
            "consignment.",
            "Parts in stock that are ordered before 14:00 leave our warehouse on the same working day.",
            "Unused parts in their original packaging are taken back within 30 days. We keep 15 % of the "
            "price for inspection. Circuit boards and parts made to order cannot be returned.",
            "Service partners receive a discount of 20 % on all parts except filters.",
        ),
        callout(
            "NOTE",
            "Filters by subscription: two deliveries a year, in April and October, at 10 % below the list "
            "price and free of shipping. The subscription can be cancelled at any time before the next "
            "delivery.",
        ),
        text("Orders: parts@tarnholt.example. Please state the serial number of the unit with every order."),
    ]
    document.build(story)
