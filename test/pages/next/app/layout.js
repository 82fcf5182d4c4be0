import "./style.css";
export const metadata = { title: "next", icons: "data:," };
export default function Layout({ children }) {
  return <html lang="en" data-build={process.env.BUILD}><body>{children}</body></html>;
}
