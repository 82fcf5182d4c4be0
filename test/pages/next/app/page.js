"use client";
import Link from "next/link";
import { useEffect } from "react";
import pic from "./pic.svg";
import { report } from "../../report.js";

export default function Page() {
  useEffect(() => {
    import("./lazy.js").then((lazy) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url));
      report({ script: process.env.BUILD, lazy: lazy.build, worker });
    });
  }, []);
  return <main><h1>next</h1><img src={pic.src} alt="" /><Link href="/about">about</Link></main>;
}
