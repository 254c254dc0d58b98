"""Typesets larkwind-300.pdf, the data sheet of the larger model."""

from __future__ import annotations

from pathlib import Path

from reportlab.platypus import Flowable, NextPageTemplate, PageBreak

from example_corpus.drawings import outline_300
from example_corpus.layout import Document, bullets, callout, chapter, figure, grid, section, text


def build(path: Path) -> None:
    """Write the data sheet."""
    document = Document(
        path,
        title="Larkwind 300 - Data sheet",
        number="LW300-DS-EN, edition 3, May 2026",
        subject="Heat-recovery ventilation unit for large dwellings",
    )
    document.pageTemplates.sort(key=lambda template: template.id != "plain")
    story: list[Flowable] = [
        NextPageTemplate("plain"),
        chapter("Larkwind 300"),
        text(
            "The Larkwind 300 ventilates large houses, surgeries and small offices with up to 300 m³/h. It "
            "shares the room control, the terminals and the error codes with its smaller sister, the "
            "Larkwind 150, but it is heavier, stands on the floor or hangs on the wall, and needs wider "
            "ducts."
        ),
        figure(
            outline_300(), 118, "Figure 1: Dimensions of the Larkwind 300 on its floor stand, in millimetres."
        ),
        section("What is different from the Larkwind 150"),
        *bullets(
            "The wireless module is built in; the app shows air volumes, temperatures and the days left "
            "for the filters.",
            "The fans hold the air volume constant even when the filters fill up, so balancing is a matter "
            "of two figures.",
            "The filters are larger, but the unit moves more air: they are replaced every four months.",
            "The heat exchanger is rinsed once a year and the condensate trap twice a year.",
            "An unheated room is permitted as long as it stays above 0 °C.",
        ),
        section("Warranty"),
        text(
            "The warranty of the Larkwind 300 is three years from commissioning, or seven years if a "
            "maintenance contract with a service partner is concluded within the first six months."
        ),
        callout(
            "CAUTION",
            "The unit weighs 46 kg. Use a lifting trolley or four people, and check that the floor is level.",
        ),
        NextPageTemplate("plain"),
        PageBreak(),
        section("Technical data"),
        *grid(
            [
                ("Property", "Larkwind 300", "Remark"),
                ("Largest air volume", "300 m³/h", "at 150 Pa external pressure"),
                ("Nominal air volume", "210 m³/h", "at 50 Pa external pressure"),
                ("Heat recovery", "91 %", "aluminium exchanger, nominal air volume"),
                ("Heat recovery, enthalpy exchanger", "83 %", "nominal air volume"),
                ("Power consumption, Normal", "53 W", "both fans, without preheater"),
                ("Largest power consumption", "148 W", "without preheater"),
                ("Standby consumption", "1.4 W", "with wireless module"),
                ("Sound power level", "39 dB(A)", "housing, nominal air volume"),
                ("Supply voltage", "230 V AC, 50 Hz", "single phase"),
                ("Circuit breaker", "10 A, type C", "with preheater 13 A"),
                ("Internal fuse", "T 4 A", "5 x 20 mm"),
                ("Duct connections", "4 x 160 mm", "with double lip seal"),
                ("Condensate spigot", "32 mm", "male thread 1 inch"),
                ("Height x width x depth", "835 x 700 x 455 mm", "without stand and spigots"),
                ("Weight", "46 kg", "without packaging"),
                ("Place of installation", "0 to 45 °C", "frost-free"),
                ("Outdoor temperature", "-20 to 45 °C", "with preheater"),
                ("Supply filter", "ISO ePM1 55 %", "412 x 200 x 48 mm"),
                ("Extract filter", "ISO ePM10 50 %", "412 x 200 x 48 mm"),
                ("Energy class", "A+", ""),
            ],
            (58, 52, 60),
            "Table 1: Technical data of the Larkwind 300",
        ),
        section("Maintenance"),
        *grid(
            [
                ("Part", "Work", "Interval"),
                ("Filters", "Replace", "4 months"),
                ("Condensate trap", "Rinse", "6 months"),
                ("Heat exchanger", "Rinse, check the seals", "12 months"),
                ("Fans", "Brush the impellers", "12 months"),
                ("Bypass damper", "Check the motor", "2 years"),
            ],
            (58, 62, 50),
            "Table 2: Maintenance intervals of the Larkwind 300",
        ),
        section("Ordering"),
        text(
            "LW300-R, right-hand version; LW300-L, left-hand version. The floor stand LW-3901 and the "
            "preheater of 1200 W are ordered separately. Delivery takes three weeks from receipt of the "
            "order."
        ),
    ]
    document.build(story)
